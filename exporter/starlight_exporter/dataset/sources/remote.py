"""Store of an object store or web server, through fsspec. Credentials are those that its libraries find.

An object is read on the condition that it is unchanged: `IfMatch` for S3, `If-Match` over HTTP; otherwise its identity
is compared after the read. Failures that may pass are repeated with back-off.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar

from starlight_exporter.dataset.sources.root import RemoteRoot
from starlight_exporter.dataset.sources.store import CHANGED, MAX_FILES, Pending, StoredObject
from starlight_exporter.errors import DatasetError, DependencyError, ImageError

THREADS: Final = 16
ATTEMPTS: Final = 5
FIRST_PAUSE: Final = 0.2
"""Seconds before the second attempt; each later pause is twice as long, and 50% to 100% of that."""
CONNECT_SECONDS: Final = 10
READ_SECONDS: Final = 60
_EXTRAS: Final[Mapping[str, str]] = {"s3": "s3", "gs": "gcs", "https": "remote", "http": "remote", "memory": "remote"}
_LIBRARIES: Final[Mapping[str, str]] = {"s3": "s3fs", "gs": "gcsfs"}
_WEB: Final = ("http", "https")
_PERMANENT: Final = frozenset((400, 401, 403, 404, 405, 410))
_CHANGED: Final = frozenset((412, 416))
"""Statuses of a condition that is false, and of a range that the object no longer has."""
_PASSING: Final = ("RequestTimeout",)
"""S3 codes of failures that may pass although their status is permanent."""
_MAX_SIZE: Final = 2**63 - 1
_EXPIRED: Final = ("ExpiredToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken")
_IDENTITIES: Final = ("ETag", "etag", "generation", "md5Hash", "mtime", "LastModified", "Last-Modified", "created")
"""Keys of fsspec's descriptions of objects, the best first."""

_T = TypeVar("_T")


class ChangedError(Exception):
    """An object is not the one that was listed."""


class RemoteStore:
    """Objects whose names begin with the path of a URL. Thread-safe."""

    ahead = THREADS

    def __init__(self, root: RemoteRoot) -> None:
        """Connect at first use. Raise DependencyError if the libraries are not installed."""
        self.root = root
        self._files = _file_system(root)
        # Without the protocol for stores, with it for HTTP.
        self._prefix = str(self._files._strip_protocol(root.url)).rstrip("/")
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="fetch")

    def __reduce__(self) -> tuple[object, ...]:
        return RemoteStore, (self.root,)

    def objects(self) -> Sequence[StoredObject]:
        """See `Store`. On a web server, each object is described by a request of its own.

        A prefix without objects is an empty dataset, because object stores have no empty folders. A missing bucket is
        an error.
        """
        if self.root.protocol in _WEB:
            # A search ignores the errors of single folders, also that of the first.
            self._attempts("", partial(self._files.ls, self._prefix, detail=False))
        listed = self._attempts("", partial(self._files.find, self._prefix, detail=True))
        infos = [info for name, info in listed.items() if info.get("type") != "directory" and self._is_object(name)]
        if len(infos) > MAX_FILES:
            raise DatasetError(f"{self.root}: more than {MAX_FILES} objects")
        if self.root.protocol in _WEB:
            infos = list(self._pool.map(self._described, infos))
        return sorted(map(self._stored, infos), key=lambda one: one.name)

    def _is_object(self, name: str) -> bool:
        """Return whether a name is neither a folder, which consoles of S3 store as an empty object, nor a query."""
        relative = self._relative(name)
        is_query = self.root.protocol in _WEB and bool({"?", "#"} & set(relative))
        return bool(relative) and not relative.endswith("/") and not is_query

    def _described(self, info: Mapping[str, Any]) -> Mapping[str, Any]:
        name = info["name"]
        return {**self._attempts(self._relative(name), partial(self._files.info, name)), "name": name}

    def _stored(self, info: Mapping[str, Any]) -> StoredObject:
        name = self._relative(str(info["name"]))
        size = info.get("size")
        if not isinstance(size, int) or not 0 <= size <= _MAX_SIZE:
            raise DatasetError(f"{self.root}: the server does not state the size of {name[:200]}")
        return StoredObject(name, size, _identity(info), _modified_ns(info))

    def _relative(self, name: str) -> str:
        # Only one slash: S3 can have the objects `a.png` and `/a.png` below the same prefix.
        return name.removeprefix(self._prefix).removeprefix("/")

    def start(self, name: str, start: int, size: int, identity: str | None) -> Pending:
        """See `Store`."""
        return self._pool.submit(self._read, name, start, size, identity).result

    def close(self) -> None:
        """See `Store`."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _read(self, name: str, start: int, size: int, identity: str | None) -> bytes:
        if size == 0:
            return b""
        path = f"{self._prefix}/{name}"
        try:
            data = self._attempts(name, partial(self._range, path, start, start + size, identity))
        except ChangedError:
            raise ImageError(f"{name} {CHANGED}", reason="unreadable") from None
        except FileNotFoundError:
            raise ImageError(f"{name} was not found", reason="unreadable") from None
        if len(data) != size:
            raise ImageError(f"{name} is truncated", reason="unreadable")
        return data

    def _range(self, path: str, start: int, end: int, identity: str | None) -> bytes:
        """Read a range of an object, once, on the condition that it has this identity."""
        if self.root.protocol == "s3":
            bucket, key, _ = self._files.split_path(path)
            condition = {} if identity is None else {"IfMatch": identity}
            answer = self._files.call_s3(
                "get_object", Bucket=bucket, Key=key, Range=f"bytes={start}-{end - 1}", **condition
            )
            return bytes(_wait(self._files.loop, answer["Body"].read))
        if self.root.protocol in _WEB:
            strong = identity is not None and identity.startswith('"')
            data = self._files.cat_file(path, start=start, end=end, headers={"If-Match": identity} if strong else {})
            if len(data) > end - start:
                raise DatasetError(f"{self.root}: the server does not support requests for parts of files")
            if strong:
                return bytes(data)
        else:
            data = self._files.cat_file(path, start=start, end=end)
        if identity is not None and _identity(self._files.info(path)) != identity:
            raise ChangedError
        return bytes(data)

    def _attempts(self, name: str, call: Callable[[], _T]) -> _T:
        """Return the result of a call that is repeated while it fails in a way that may pass.

        Raise ChangedError, FileNotFoundError for an object with a name, or DatasetError.
        """
        for attempt in range(ATTEMPTS):
            try:
                return call()
            except (ChangedError, DatasetError):
                raise
            except Exception as error:  # every library of fsspec raises its own exceptions
                status, code = _status(error), _code(error)
                if status in _CHANGED:
                    raise ChangedError from error
                if isinstance(error, FileNotFoundError):
                    if name and code != "NoSuchBucket":
                        raise
                    raise DatasetError(f"{self.root}: no such dataset: {_line(error)}") from error
                is_permanent = isinstance(error, PermissionError) or status in _PERMANENT or code in _EXPIRED
                if is_permanent and code not in _PASSING:
                    raise DatasetError(f"{self.root}: access refused: {_line(error)}") from error
                if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError"):
                    raise DatasetError(f"{self.root}: no credentials: {_line(error)}") from error
                if attempt == ATTEMPTS - 1:
                    text = f"{self.root}: not reachable after {ATTEMPTS} attempts: {_line(error)}"
                    raise DatasetError(text) from error
                time.sleep(FIRST_PAUSE * 2**attempt * random.uniform(0.5, 1.0))
        raise AssertionError("the last attempt returns or raises")


def _file_system(root: RemoteRoot) -> Any:
    try:
        import fsspec

        options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": root.protocol != "memory"}
        if root.protocol == "s3":
            options["config_kwargs"] = {
                "connect_timeout": CONNECT_SECONDS,
                "read_timeout": READ_SECONDS,
                # Repeated here, in the same way for all protocols.
                "retries": {"max_attempts": 1},
            }
        elif root.protocol in _WEB:
            import aiohttp

            options["client_kwargs"] = {
                "timeout": aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS, sock_read=READ_SECONDS),
                # Variables for proxies and certificates.
                "trust_env": True,
            }
        files = fsspec.filesystem(root.protocol, **options)
    except ImportError as error:
        library = error.name or _LIBRARIES.get(root.protocol, "fsspec")
        text = f"{root}: needs {library}; install this package with the extra {_EXTRAS[root.protocol]}"
        raise DependencyError(text) from error
    if root.protocol == "s3":
        files.retries = 1
    return files


def _wait(loop: Any, coroutine: Callable[[], Any]) -> Any:
    from fsspec.asyn import sync

    return sync(loop, coroutine)


def _identity(info: Mapping[str, Any]) -> str | None:
    """Return the identity of an object as one line; the size is part of it where there is no checksum."""
    for key in _IDENTITIES:
        value = info.get(key)
        if value is not None and str(value):
            # A listing can have another type than the description of one object.
            text = str(value.timestamp() if isinstance(value, datetime) else value)
            return text if key in ("ETag", "etag") else f"{text} {info.get('size')}"
    return None


def _modified_ns(info: Mapping[str, Any]) -> int | None:
    for key in ("LastModified", "mtime", "updated", "created"):
        value = info.get(key)
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                continue
        if isinstance(value, int | float):
            return int(value * 1e9)
        if isinstance(value, datetime):
            return int((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * 1e9)
    return None


def _status(error: BaseException) -> int | None:
    """Return the HTTP status of an error of S3 or HTTP."""
    response = getattr(error.__cause__ or error, "response", None)
    status = getattr(error, "status", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status if isinstance(status, int) else None


def _code(error: BaseException) -> str | None:
    response = getattr(error.__cause__ or error, "response", None)
    return response.get("Error", {}).get("Code") if isinstance(response, dict) else None


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__

"""Stores: where the objects of a dataset are. A store lists objects and reads ranges of bytes; it decodes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from starlight_exporter.dataset.ignored import LABEL_FILES
from starlight_exporter.dataset.sources.names import is_shard
from starlight_exporter.dataset.sources.root import DatasetRoot
from starlight_exporter.errors import DatasetError, ImageError
from starlight_exporter.file_access import open_regular

MAX_READ_BYTES: Final = 8 * 1024 * 1024
"""Longest range of one request."""
MAX_FILES: Final = 2_000_000
"""Objects below one root, and files in all its shards."""
CHANGED: Final = "changed since the dataset was listed"

Pending = Callable[[], bytes]
"""Waits for a started read and returns its bytes. Raises ImageError if this object cannot be read, or DatasetError."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object by its name relative to the root. `identity` changes with its content; None if it is unknown."""

    name: str
    size_bytes: int
    identity: str | None = None
    modified_ns: int | None = None


class Store(Protocol):
    """Objects below one root. Thread-safe."""

    @property
    def root(self) -> DatasetRoot:
        """The root of the names."""

    @property
    def ahead(self) -> int:
        """Number of requests that are worth to start before their bytes are needed."""

    def objects(self) -> Sequence[StoredObject]:
        """Return all objects, sorted by name. Raise DatasetError."""

    def start(self, name: str, start: int, size: int, identity: str | None) -> Pending:
        """Start to read exactly `size` bytes, at most MAX_READ_BYTES, of an object that still has this identity."""

    def close(self) -> None:
        """Release connections and processes."""


def start_range(store: Store, name: str, start: int, size: int, identity: str | None) -> Pending:
    """Start to read a range of any length."""
    parts = [
        store.start(name, at, min(MAX_READ_BYTES, start + size - at), identity)
        for at in range(start, start + size, MAX_READ_BYTES)
    ]
    if len(parts) == 1:
        return parts[0]
    return lambda: b"".join(part() for part in parts)


class LocalStore:
    """Tar and Parquet shards in a local folder, and the files with labels next to them."""

    ahead = 1

    def __init__(self, root: Path) -> None:
        self.root = root

    def objects(self) -> Sequence[StoredObject]:
        """See `Store`."""
        try:
            names = sorted(name for name in os.listdir(self.root) if is_shard(name) or name in LABEL_FILES)  # noqa: PTH208
            return [self._stored(name) for name in names]
        except OSError as error:
            raise DatasetError(f"{error.filename or self.root}: cannot be listed: {error.strerror}") from error

    def _stored(self, name: str) -> StoredObject:
        status = (self.root / name).stat()
        return StoredObject(name, status.st_size, _identity(status), min(status.st_mtime_ns, status.st_ctime_ns))

    def start(self, name: str, start: int, size: int, identity: str | None) -> Pending:
        """See `Store`; reads when the bytes are needed."""

        def read() -> bytes:
            try:
                with open_regular(self.root / name, root=self.root) as file:
                    if identity not in (None, _identity(os.fstat(file.fileno()))):
                        raise ImageError(f"{name} {CHANGED}", reason="unreadable")
                    file.seek(start)
                    data = file.read(size)
            except OSError as error:
                raise ImageError(f"{name} cannot be read: {error.strerror or error}", reason="unreadable") from error
            if len(data) != size:
                raise ImageError(f"{name} is truncated", reason="unreadable")
            return data

        return read

    def close(self) -> None:
        """See `Store`."""


def _identity(status: os.stat_result) -> str:
    return f"{status.st_dev}-{status.st_ino}-{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}"

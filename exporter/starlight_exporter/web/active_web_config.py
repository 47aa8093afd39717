"""The web configuration in use: loaded again when the file, or a certificate or key that it names, changes."""

from __future__ import annotations

import os
import ssl
import stat
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
import structlog

from starlight_exporter.errors import ConfigError
from starlight_exporter.web.users import Users
from starlight_exporter.web.web_config import WebConfig, load_web_config, named_files, secret_files, tls_context

CHECK_SECONDS: Final = 1.0
"""A request waits this long for a file system that does not respond, then it uses the previous configuration."""

_Status = tuple[int, int, int, int, int] | None
"""What changes with the content of a file; None if there is no such file."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A valid configuration in use."""

    users: Users | None
    context: ssl.SSLContext | None


@dataclass(frozen=True, slots=True)
class _Attempt:
    """The last attempt to load: the files with their state before it, and the error."""

    files: dict[Path, _Status]
    error: str | None


class ActiveWebConfig:
    """Users and TLS context of the web configuration. An invalid change keeps the previous ones.

    The files are checked with `stat` for each request that needs a user and for each TLS connection, as in the
    Prometheus exporter toolkit. Switching TLS on or off, or authentication off, requires a restart, because a file that
    is being written may be empty for a moment.
    """

    def __init__(self, path: Path | None, *, report: Callable[[bool], None]) -> None:
        """Load the file; None means plain HTTP without authentication. `report` gets the result of each attempt.

        Raises ConfigError.
        """
        self._path = path
        self._report = report
        self._swap = threading.Lock()
        self._checking = threading.Lock()
        self._loaded = _Loaded(None, None)
        self._attempt = _Attempt({}, None)
        if path is not None:
            before = _statuses([path])
            config = load_web_config(path)
            before |= _statuses(named_files(config, path))
            self._loaded, self._attempt = _loaded(config, path), _Attempt(before, None)
            _warn_of_readers(secret_files(config, path))
            report(True)

    @property
    def has_tls(self) -> bool:
        """Whether the server uses TLS; constant until the end of the process."""
        return self._loaded.context is not None

    async def users(self) -> Users | None:
        """Return the users, None without authentication. Checks the files first."""
        await self._checked()
        return self._loaded.users

    async def context(self) -> ssl.SSLContext:
        """Return the TLS context for a new connection. Checks the files first."""
        await self._checked()
        assert self._loaded.context is not None
        return self._loaded.context

    def refresh(self) -> None:
        """Load the files again if one of them has changed since the last attempt.

        Raises ConfigError if the last attempt failed: the previous configuration is still in use.
        """
        if self._path is None:
            return
        if _statuses(self._attempt.files) != self._attempt.files:
            self._load(self._path)
        if self._attempt.error is not None:
            raise ConfigError(self._attempt.error)

    async def _checked(self) -> None:
        if self._path is None:
            return
        with anyio.move_on_after(CHECK_SECONDS):
            await anyio.to_thread.run_sync(self._refresh_logged, abandon_on_cancel=True)

    def _refresh_logged(self) -> None:
        """Check the files in one thread at a time.

        A check that was abandoned still waits for the file system, and further ones would only wait with it.
        """
        if not self._checking.acquire(timeout=CHECK_SECONDS):
            return
        try:
            self.refresh()
        except ConfigError:
            # Logged and reported by the attempt.
            return
        finally:
            self._checking.release()

    def _load(self, path: Path) -> None:
        files, error, loaded = _statuses([path]), None, None
        try:
            config = load_web_config(path)
            files |= _statuses(named_files(config, path))
            loaded = _loaded(config, path)
            self._require_same_protection(loaded)
        except ConfigError as caught:
            # A file that was named before may be the one to be repaired.
            files, error = _statuses(self._attempt.files) | files, str(caught)
        with self._swap:
            if self._attempt == _Attempt(files, error):
                # Another thread has loaded the same change.
                return
            self._attempt = _Attempt(files, error)
            if error is None and loaded is not None:
                self._loaded = loaded
        self._report(error is None)
        if error is None:
            _log.info("web configuration reloaded", file=str(path))
            _warn_of_readers(secret_files(config, path))
        else:
            _log.error("web configuration not reloaded, the previous one stays active", reason=error)

    def _require_same_protection(self, loaded: _Loaded) -> None:
        if (loaded.context is None) != (self._loaded.context is None):
            raise ConfigError(f"{self._path}: switching TLS on or off requires a restart")
        if loaded.users is None and self._loaded.users is not None:
            raise ConfigError(f"{self._path}: switching authentication off requires a restart")


def _loaded(config: WebConfig, path: Path) -> _Loaded:
    tls = config.tls_server_config
    users = Users(config.basic_auth_users) if config.basic_auth_users else None
    return _Loaded(users, None if tls is None else tls_context(tls, path))


def _statuses(files: Iterable[Path]) -> dict[Path, _Status]:
    return {file: _status(file) for file in files}


def _status(file: Path) -> _Status:
    try:
        found = file.stat()
    except (OSError, ValueError):
        # ValueError: NUL in the name. Opening the file reports both.
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _warn_of_readers(files: Iterable[Path]) -> None:
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue
        mode = status.st_mode
        # A file of another owner, such as a mounted Secret, is readable only through the group.
        others = stat.S_IROTH if status.st_uid != os.geteuid() else stat.S_IRGRP | stat.S_IROTH
        if mode & others:
            _log.warning("file with secrets is readable by other users", file=str(file), mode=f"{mode & 0o777:04o}")

"""The notification log's JSON-lines file."""

from __future__ import annotations

import os
import stat
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from starlight_exporter.errors import StorageError

MAX_BYTES: Final = 16 * 1024 * 1024
KEPT_FILES: Final = 4


class NotificationFile:
    """Append lines to a file atomically and durably. Thread-safe.

    A file that would exceed `max_bytes` is renamed to `FILE.1`, an older one to `FILE.2`, and so on; `kept` of them are
    kept. The file is opened for each line, so it may also be moved at any time.
    """

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES, kept: int = KEPT_FILES) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._kept = kept
        self._lock = threading.Lock()

    def check(self) -> None:
        """Create the folder and the file if missing. Raises StorageError if the file is not writable."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.close(self._open())
        except OSError as error:
            raise self._storage_error(error) from error

    def append(self, line: str) -> None:
        """Append one line that ends in a line feed. On StorageError the file contains no part of it."""
        try:
            with self._lock:
                self._append(line.encode())
        except OSError as error:
            raise self._storage_error(error) from error

    def _open(self) -> int:
        return os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def _append(self, data: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._rotate(len(data))
        descriptor = self._open()
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                # A crash during a write left a truncated line; start a new one.
                data = b"\n" + data
            try:
                while data:
                    data = data[os.write(descriptor, data) :]
                os.fsync(descriptor)
            except OSError:
                # Alertmanager retries, so remove the partial line. If that fails, the next append starts a new line.
                with suppress(OSError):
                    os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)

    def _rotate(self, added: int) -> None:
        """Rename the files if the current one has no space for `added` bytes."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return
        if not stat.S_ISREG(found.st_mode) or not found.st_size or found.st_size + added <= self._max_bytes:
            return
        files = [self.path, *(self.path.with_name(f"{self.path.name}.{number + 1}") for number in range(self._kept))]
        for older, newer in zip(reversed(files), reversed(files[:-1]), strict=False):
            if newer.exists():
                newer.replace(older)

    def _storage_error(self, error: OSError) -> StorageError:
        return StorageError(f"{self.path}: cannot write: {error.strerror or error}")

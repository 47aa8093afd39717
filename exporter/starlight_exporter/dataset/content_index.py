"""Index of contents by identity: files of remote datasets whose content is known are not read for their hash.

    <folder>/<process>.contents    fixed-size records: digest of the identity, SHA-256, size and format of the content

Each process appends to a file of its own and only reads those of others, so no locks are needed. Records have
checksums. An index that cannot be read or written costs time, but never changes a result.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.detector.contract import FORMATS, ImageFormat
from starlight_exporter.file_access import read_content

CONTENTS_SUFFIX: Final = ".contents"
MAX_FILES: Final = 16
"""More files are merged into one."""
MAX_RECORDS: Final = 2_000_000
"""Older records are deleted when files are merged: 122 MB."""
_UNFINISHED_SUFFIX: Final = ".new"
_UNFINISHED_SECONDS: Final = 3600.0
"""Age from which on an unfinished file is one of a process that was killed."""
_FORMATS: Final[tuple[ImageFormat, ...]] = (*FORMATS, "other")
_RECORD: Final = np.dtype(
    [("key", "<u8"), ("rest", "<u8"), ("sha256", "u1", (32,)), ("size", "<u8"), ("format", "u1"), ("crc", "<u4")]
)


@dataclass(frozen=True, slots=True)
class KnownContent:
    """Hash, size and format of an image file."""

    sha256: str
    size_bytes: int
    image_format: ImageFormat


class ContentIndex:
    """The index in one folder. `get` and `add` are thread-safe. Creating it never fails."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._records = self._load()
        # A search in a column of the records would copy the column, and one for a Python integer convert it.
        self._keys = np.ascontiguousarray(self._records["key"])

    def get(self, identity: str) -> KnownContent | None:
        """Return the content of a file with this identity; None if it is unknown."""
        key, rest = _digest(identity)
        at = int(np.searchsorted(self._keys, np.uint64(key)))
        while at < len(self._records) and int(self._records[at]["key"]) == key:
            record = self._records[at]
            if int(record["rest"]) == rest and _is_undamaged(record):
                return KnownContent(record["sha256"].tobytes().hex(), int(record["size"]), _FORMATS[record["format"]])
            at += 1
        return None

    def add(self, identity: str, content: KnownContent) -> None:
        """Add the content of a file."""
        record = np.zeros((), _RECORD)
        record["key"], record["rest"] = _digest(identity)
        record["sha256"] = np.frombuffer(bytes.fromhex(content.sha256), np.uint8)
        record["size"], record["format"] = content.size_bytes, _FORMATS.index(content.image_format)
        record["crc"] = zlib.crc32(record.tobytes()[:-4])
        with self._lock, suppress(OSError):
            if self._file is None:
                self._folder.mkdir(parents=True, exist_ok=True)
                self._file = self._new_path().open("x+b")
            self._file.write(record.tobytes())

    def close(self) -> None:
        """Make what was added available to the next process."""
        with self._lock, suppress(OSError):
            if self._file is not None:
                with self._file as file:
                    self._file = None
                    file.flush()
                    if os.fstat(file.fileno()).st_nlink == 0:
                        # Another process has merged what was written until then, and deleted the file.
                        file.seek(0)
                        self._write(file.read())

    def _load(self) -> NDArray[Any]:
        """Return the records of all files, sorted by key."""
        parts, read, paths = [], [], []
        with suppress(OSError):
            paths = sorted(self._folder.glob(f"*{CONTENTS_SUFFIX}"), key=_modified)
        for path in paths:
            with suppress(OSError):
                content = read_content(path, max_bytes=2 * MAX_RECORDS * _RECORD.itemsize).data
                parts.append(np.frombuffer(content[: len(content) // _RECORD.itemsize * _RECORD.itemsize], _RECORD))
                read.append(path)
        if not parts:
            return np.zeros(0, _RECORD)
        records = np.concatenate(parts)
        if len(read) > MAX_FILES:
            records = _newest(records)[-MAX_RECORDS:]
            self._merge(records, read)
        # Checksums are verified on access, which takes a second per million otherwise.
        return records[np.argsort(records["key"], kind="stable")]

    def _merge(self, records: NDArray[Any], paths: list[Path]) -> None:
        """Replace files by one, and delete unfinished files. Files that cannot be deleted stay."""
        with suppress(OSError):
            self._write(records.tobytes())
            oldest = (time.time() - _UNFINISHED_SECONDS) * 1e9
            unfinished = [path for path in self._folder.glob(f"*{_UNFINISHED_SUFFIX}") if _modified(path) < oldest]
            for path in (*paths, *unfinished):
                with suppress(OSError):
                    path.unlink()

    def _write(self, content: bytes) -> None:
        """Write a file of records, which others only read once it is complete."""
        path = self._new_path()
        temporary = path.with_suffix(_UNFINISHED_SUFFIX)
        try:
            temporary.write_bytes(content)
            os.replace(temporary, path)  # noqa: PTH105  # as files.py does
        except OSError:
            temporary.unlink(missing_ok=True)
            raise

    def _new_path(self) -> Path:
        return self._folder / f"{secrets.token_hex(8)}{CONTENTS_SUFFIX}"


def _modified(path: Path) -> int:
    """Return the modification time in nanoseconds; 0 for a file that another process has deleted."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _newest(records: NDArray[Any]) -> NDArray[Any]:
    """Return the last record of every key, in order."""
    _, last = np.unique(records["key"][::-1], return_index=True)
    return records[np.sort(len(records) - 1 - last)]


def _is_undamaged(record: Any) -> bool:
    return zlib.crc32(record.tobytes()[:-4]) == int(record["crc"]) and int(record["format"]) < len(_FORMATS)


def _digest(identity: str) -> tuple[int, int]:
    digest = hashlib.blake2b(identity.encode("utf-8", "surrogateescape"), digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")

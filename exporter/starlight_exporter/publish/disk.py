"""State of the disks of history and evidence: full or not, device, free space, size of a folder."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_FULL: Final = frozenset((errno.ENOSPC, errno.EDQUOT))


def is_full(error: BaseException | None) -> bool:
    """Return whether an error, or one of its causes, is a full disk or an exceeded quota."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    if isinstance(error, shutil.Error):
        # copytree collects (source, target, text) of every failed file.
        return any(os.strerror(number) in str(error) for number in _FULL)
    if isinstance(error, OSError):
        return error.errno in _FULL
    return error is not None and is_full(error.__cause__)


def on_one_device(one: Path, other: Path) -> bool:
    """Return whether both paths are on the same file system; False if that cannot be determined."""
    devices = {_device(one), _device(other)}
    return len(devices) == 1 and None not in devices


def free_bytes(path: Path) -> int | None:
    """Return the free space at a path, which need not exist yet; None if it cannot be determined."""
    for place in _nearest(path):
        with suppress(OSError):
            return shutil.disk_usage(place).free
    return None


def bytes_below(folder: Path) -> int:
    """Return the size of all files below a folder; files that cannot be read or disappear count as 0."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.stat(os.path.join(place, name)).st_size  # noqa: PTH116, PTH118  # Path objects are slow here
    return total


def _device(path: Path) -> int | None:
    for place in _nearest(path):
        with suppress(OSError):
            return place.stat().st_dev
    return None


def _nearest(path: Path) -> Iterator[Path]:
    """Yield the path and its parents: the folder itself may not exist yet."""
    yield path
    yield from path.parents

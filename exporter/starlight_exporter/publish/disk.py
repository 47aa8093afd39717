"""What the stores have to know of a disk: whether it is full, which one it is, how much lies there; and a sync."""

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
    """Whether an error, or what it was raised from, says that a disk or a quota is full."""
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    if isinstance(error, shutil.Error):
        # copytree gathers (source, target, text) of every file that failed.
        return any(os.strerror(number) in str(error) for number in _FULL)
    if isinstance(error, OSError):
        return error.errno in _FULL
    return error is not None and is_full(error.__cause__)


def on_one_device(one: Path, other: Path) -> bool:
    """Whether what is removed at one path makes room at the other; False where that cannot be told."""
    devices = {_device(one), _device(other)}
    return len(devices) == 1 and None not in devices


def free_bytes(path: Path) -> int | None:
    """The room that is left at a path, which need not be there yet; None where that cannot be told."""
    for place in _nearest(path):
        with suppress(OSError):
            return shutil.disk_usage(place).free
    return None


def bytes_below(folder: Path) -> int:
    """The size of all files below a folder; what vanishes meanwhile, or cannot be looked at, counts as nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.stat(os.path.join(place, name)).st_size  # noqa: PTH116, PTH118  # without a Path for each
    return total


def _device(path: Path) -> int | None:
    for place in _nearest(path):
        with suppress(OSError):
            return place.stat().st_dev
    return None


def _nearest(path: Path) -> Iterator[Path]:
    """The path, then each folder above it: the folder itself may be still to come."""
    yield path
    yield from path.parents

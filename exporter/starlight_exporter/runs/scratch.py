"""Temporary folders of runs: removed at the end of the run, or at the next start if the exporter was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog

_log = structlog.get_logger(__name__)

PREFIX: Final = "starlight-run-"
_LOCK: Final = "lock"
_WITHOUT_LOCK_SECONDS: Final = 60.0


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a new temporary folder with a file that this process locks, and delete it at the end. Raises OSError."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = None
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def remove_abandoned_folders() -> None:
    """Delete the temporary folders of runs whose process has ended."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if _is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)
            _log.info("temporary folder of a killed process removed", folder=str(folder))


def _is_abandoned(folder: Path) -> bool:
    """Return whether this user owns the folder and no process locks it."""
    try:
        status = folder.lstat()
    except FileNotFoundError:
        # Another process has just deleted it.
        return False
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
        return False
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        # Of an earlier version, or of a process that is about to create the lock.
        return time.time() - status.st_mtime > _WITHOUT_LOCK_SECONDS
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True

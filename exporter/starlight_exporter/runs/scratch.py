"""Temporary folders of runs and commands: removed at their end, or at a later start if the process was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

PREFIX: Final = "starlight-run-"
_LOCK: Final = "lock"
_WITHOUT_LOCK_SECONDS: Final = 60.0


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a new temporary folder with a file that this process locks, and delete it at the end. Raises OSError."""
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = None
    try:
        # Locked before it has its name: another process deletes a folder whose lock it can acquire.
        new = folder / f"{_LOCK}.new"
        lock = os.open(new, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        new.rename(folder / _LOCK)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


@contextmanager
def temporary_files_in(folder: Path) -> Iterator[None]:
    """Create the temporary files of this process in a folder."""
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


@contextmanager
def own_temporary_files() -> Iterator[None]:
    """Create the temporary files of this process in a folder of its own, and delete those of killed processes.

    Without a writable folder for temporary files, do nothing: not every command needs one.
    """
    with ExitStack() as stack:
        with suppress(OSError):
            remove_abandoned_folders()
            stack.enter_context(temporary_files_in(stack.enter_context(scratch_folder())))
        yield


def remove_abandoned_folders() -> list[Path]:
    """Delete the temporary folders whose process has ended; return them."""
    abandoned = [folder for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*") if _is_abandoned(folder)]
    for folder in abandoned:
        shutil.rmtree(folder, ignore_errors=True)
    return abandoned


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

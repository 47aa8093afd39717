"""Output files, written atomically."""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from starlight_exporter.errors import StorageError


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text as `open_output` does. Raises StorageError."""
    write_bytes(path, text.encode())


def write_parts(path: Path, parts: Iterable[str]) -> None:
    """Write UTF-8 text in parts as `open_output` does. Raises StorageError."""
    with open_output(path) as file:
        file.writelines(part.encode() for part in parts)


def write_bytes(path: Path, data: bytes) -> None:
    """Write data as `open_output` does. Raises StorageError."""
    with open_output(path) as file:
        file.write(data)


def append_text(path: Path, text: str) -> None:
    """Append UTF-8 text to a file, which is created if it is missing, and so are its folders.

    Links are followed; pipes and devices are written directly. Raises StorageError.
    """
    with _storage_errors(path):
        destination = _follow_links(path)
        if isinstance(destination, int) or _is_stream(destination):
            write_text(path, text)
            return
        destination.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(destination, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        with os.fdopen(descriptor, "ab") as file:
            file.write(text.encode())


@contextmanager
def open_output(path: Path, *, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Yield a file whose content becomes that of `path`, whatever `path` is. Creates missing folders.

    Regular files and the targets of symbolic links are replaced atomically at the end of the block, if it does not
    raise. Pipes and devices are written directly; `/dev/stdout` is the standard output. `mode` is for new files, before
    the umask. Raises StorageError, but BrokenPipeError if the reader of a pipe has closed it.
    """
    with _storage_errors(path), _opened(path, mode) as file:
        yield file


def is_stream(path: Path) -> bool:
    """Return whether output to `path` goes to a pipe, a device or an open file. Raises StorageError."""
    with _storage_errors(path):
        return _is_stream(_follow_links(path))


@contextmanager
def replacing(path: Path, *, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Yield a new file; at the end of the block, sync it to disk and rename it to `path`. Also replaces a link itself.

    Readers see the old content or the new one, never a part. Permissions of an existing file are kept, and its owner
    if possible. If the block raises, `path` is unchanged and no other file is left. Raises OSError.
    """
    found = _regular_or_none(path)
    # Unique, except after a crash of a process with the same id, as in containers: the file that it left is reused.
    temporary = path.with_name(f".{path.name[:40]}.{os.getpid()}-{threading.get_native_id()}.partial")
    temporary.unlink(missing_ok=True)
    try:
        descriptor = _open_unnamed(path.parent, mode)
        named = descriptor is None
        if descriptor is None:
            descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "wb") as file:
            if found is not None:
                _copy_ownership(found, descriptor)
            yield file
            file.flush()
            os.fsync(descriptor)
            if not named:
                _link(descriptor, temporary)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


_MAX_LINKS: Final = 40
"""As in Linux."""


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error


@contextmanager
def _opened(path: Path, mode: int) -> Iterator[BinaryIO]:
    destination = _follow_links(path)
    if not isinstance(destination, int) and not _is_stream(destination):
        destination.parent.mkdir(parents=True, exist_ok=True)
        with replacing(destination, mode=mode) as file:
            yield file
        return
    file = os.fdopen(_open_stream(destination), "wb")
    try:
        yield file
        file.flush()
    finally:
        # After an error, closing raises it again.
        with suppress(OSError):
            file.close()


def _open_stream(destination: Path | int) -> int:
    if isinstance(destination, int):
        # What was printed before must come first.
        sys.stdout.flush()
        return os.dup(destination)
    # A directory raises IsADirectoryError. A pipe waits for its reader.
    return os.open(destination, os.O_WRONLY | os.O_CLOEXEC | os.O_NOCTTY)


def _is_stream(destination: Path | int) -> bool:
    return isinstance(destination, int) or (destination.exists() and not destination.is_file())


def _follow_links(path: Path) -> Path | int:
    """Return the path behind all symbolic links, or the number of an open file of this process, as for `/dev/stdout`.

    The latter must not be opened by its path: a redirected file would be truncated, or replaced by another one.
    """
    own_files = Path("/proc", str(os.getpid()), "fd")
    for _ in range(_MAX_LINKS):
        folder = path.parent.resolve()
        path = folder / path.name
        if folder == own_files and path.is_symlink():
            return int(path.name)
        if not path.is_symlink():
            return path
        path = folder / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def _regular_or_none(path: Path) -> os.stat_result | None:
    """Return the status of a regular file, or None for a link or no file. Raises OSError for anything else."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(found.st_mode):
        return None
    if not stat.S_ISREG(found.st_mode):
        number = errno.EISDIR if stat.S_ISDIR(found.st_mode) else errno.EINVAL
        raise OSError(number, "not a regular file", str(path))
    return found


def _open_unnamed(folder: Path, mode: int) -> int | None:
    """Return a new file without a name, which disappears if this process is killed; None if that is not supported."""
    if not Path("/proc/self/fd").is_dir():
        return None
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, mode)
    except OSError as error:
        # The file system or the kernel does not support it.
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
            return None
        raise


def _link(descriptor: int, path: Path) -> None:
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # With a folder descriptor, Python calls linkat(2) and follows the link in /proc to the unnamed file.
        os.link(f"/proc/self/fd/{descriptor}", path.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


def _copy_ownership(source: os.stat_result, descriptor: int) -> None:
    created = os.fstat(descriptor)
    if (created.st_uid, created.st_gid) != (source.st_uid, source.st_gid):
        # Only root may give files away; others may at least keep a group that they belong to.
        for owner in (source.st_uid, -1):
            with suppress(OSError):
                os.fchown(descriptor, owner, source.st_gid)
                break
    if stat.S_IMODE(created.st_mode) != stat.S_IMODE(source.st_mode):
        os.fchmod(descriptor, stat.S_IMODE(source.st_mode))


def sync(path: Path) -> None:
    """Wait until the content of a file, or the entries of a folder, are on disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

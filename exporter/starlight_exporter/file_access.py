"""Open and read untrusted files: regular files only, without blocking, within a size limit and inside a root folder.

Every file of a dataset or a model folder, and every file that a user configures, is opened here. All errors are OSError
with a `strerror` for people; callers map them to the exceptions of their own area.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from starlight_exporter.formatting import size

_CHUNK: Final = 1024 * 1024
# If a pipe replaces the file between stat and open, opening it must not block; a terminal must not become the
# controlling one.
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY

_KINDS: Final = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)


class NotRegularFileError(OSError):
    """The path is a directory, pipe, socket or device."""


class FileTooLargeError(OSError):
    """The file is larger than the caller reads."""


class OutsideRootError(OSError):
    """The path leads out of the root folder, or a part of it was replaced by a link while it was opened."""


@dataclass(frozen=True, slots=True)
class FileContent:
    """Content of a file: `sha256` is the hash of `data`, `modified_at` the modification time in Unix seconds."""

    data: bytes
    sha256: str
    modified_at: float


def open_regular(path: Path, *, root: Path | None = None) -> BinaryIO:
    """Open a regular file for reading. Pipes, sockets and devices are never opened.

    With a `root`, links are followed only if they lead to a file inside the root. Raises NotRegularFileError,
    OutsideRootError, or another OSError.
    """
    try:
        descriptor = _open_file(str(path), _FLAGS) if root is None else _open_inside(path, root)
    except ValueError as error:
        # NUL, or a character that the encoding of file names does not have.
        raise OSError(errno.EINVAL, "not a valid file name", str(path)) from error
    return os.fdopen(descriptor, "rb")


def read_content(path: Path, *, max_bytes: int, root: Path | None = None) -> FileContent:
    """Return the content of a regular file, with the hash of exactly these bytes.

    A file of more than `max_bytes` is not read. Raises FileTooLargeError, or like `open_regular`.
    """
    parts: list[bytes] = []
    total = 0
    with open_regular(path, root=root) as file:
        status = _status_within(file, max_bytes)
        wanted = status.st_size + 1
        while total <= max_bytes:
            part = file.read(wanted) or b""
            parts.append(part)
            total += len(part)
            if len(part) < wanted:
                break
            # The file grows, or has no size of its own, as in /proc.
            wanted = min(_CHUNK, max_bytes + 1 - total)
    if total > max_bytes:
        raise _too_large(max_bytes)
    data = parts[0] if len(parts) == 1 else b"".join(parts)
    return FileContent(data, hashlib.sha256(data).hexdigest(), status.st_mtime)


def hash_content(path: Path, *, max_bytes: int, root: Path | None = None) -> str:
    """Return the SHA-256 of a regular file as hexadecimal digits, in constant memory. Raises like `read_content`."""
    with open_regular(path, root=root) as file:
        return hash_open_file(file, max_bytes=max_bytes)


def hash_open_file(file: BinaryIO, *, max_bytes: int) -> str:
    """Return the SHA-256 of an open file from its current position on. Raises FileTooLargeError, or another OSError.

    A file of more than `max_bytes` is not read.
    """
    _status_within(file, max_bytes)
    digest, total = hashlib.sha256(), 0
    while part := file.read(_CHUNK):
        total += len(part)
        if total > max_bytes:
            raise _too_large(max_bytes)
        digest.update(part)
    return digest.hexdigest()


def _open_inside(path: Path, root: Path) -> int:
    """Open a file from the root on without following any link; otherwise resolve all links, and check the target first.

    A part that is replaced by a link after the check is an error, not a way out.
    """
    inside = str(path).removeprefix(f"{root}{os.sep}")
    parts = inside.split(os.sep)  # noqa: PTH206  # several times faster than pathlib
    if inside != str(path) and os.pardir not in parts:
        try:
            return _open_parts(str(root), parts)
        except OutsideRootError:
            # A part is a link, which may lead to a file inside the root.
            pass
    top = os.path.realpath(root, strict=True)
    target = Path(os.path.relpath(os.path.realpath(path, strict=True), top)).parts or (os.curdir,)
    if os.pardir in target:
        raise OutsideRootError(errno.EXDEV, f"leads out of {root}", str(path))
    return _open_parts(top, target)


def _open_parts(top: str, parts: Sequence[str]) -> int:
    """Open a regular file below a folder. Raises OutsideRootError if a part of its path is a link."""
    *folders, name = parts
    opened = [os.open(top, _FLAGS | os.O_DIRECTORY)]
    try:
        for folder in folders:
            opened.append(os.open(folder, _FLAGS | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=opened[-1]))
        return _open_file(name, _FLAGS | os.O_NOFOLLOW, folder=opened[-1])
    except OSError as error:
        # A directory that is opened without following links fails with ENOTDIR if it is a link.
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise OutsideRootError(errno.EXDEV, "was replaced while it was opened", name) from error
        raise
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _open_file(path: str, flags: int, *, folder: int | None = None) -> int:
    """Open a regular file, relative to an open folder if there is one. Raises OSError."""
    _require_regular(os.stat(path, dir_fd=folder, follow_symlinks=not flags & os.O_NOFOLLOW), path)
    descriptor = os.open(path, flags, dir_fd=folder)
    try:
        _require_regular(os.fstat(descriptor), path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _require_regular(status: os.stat_result, path: str) -> None:
    mode = status.st_mode
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    if not stat.S_ISREG(mode):
        kind = next((text for matches, text in _KINDS if matches(mode)), "of an unknown type")
        raise NotRegularFileError(errno.EINVAL, f"is {kind}, not a regular file", path)


def _status_within(file: BinaryIO, max_bytes: int) -> os.stat_result:
    status = os.fstat(file.fileno())
    if status.st_size > max_bytes:
        raise _too_large(max_bytes)
    return status


def _too_large(max_bytes: int) -> FileTooLargeError:
    return FileTooLargeError(errno.EFBIG, f"larger than {size(max_bytes)}")

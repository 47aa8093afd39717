"""Index of a tar archive: name, offset and size of every member, without reading the content of any.

Archives are untrusted. A header may have at most MAX_HEADER_BYTES, with its extended headers; links, devices and sparse
files are returned with a problem. Extended headers are checked before `tarfile` parses them, because some of its
versions take time and memory that grow with the square of their size (CVE-2024-6232).
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from starlight_exporter.dataset.sources.names import is_relative
from starlight_exporter.dataset.sources.ranges import RangeFile

MAX_HEADER_BYTES: Final = 1024 * 1024
MAX_GLOBAL_RECORDS: Final = 100
"""Records of global headers, which apply to all members that follow."""
_BLOCK: Final = tarfile.BLOCKSIZE
_TYPE: Final = slice(156, 157)
"""The type of a member in its header."""
_EXTENDED: Final = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_LENGTH: Final = re.compile(rb"[1-9]\d{0,6} ")
_LONG_NUMBER: Final = re.compile(rb"\d{256}")


@dataclass(frozen=True, slots=True)
class TarMember:
    """A member of an archive: its content is `size_bytes` bytes from `offset` on, nothing if it has a problem."""

    name: str
    offset: int
    size_bytes: int
    problem: str | None = None


class ShardError(Exception):
    """A shard is damaged, or has names that cannot be used; the text does not name the shard."""


def tar_members(file: RangeFile) -> Iterator[TarMember]:
    """Yield the members of an archive, except folders. Raise ShardError if it is damaged or truncated."""
    total = file.seek(0, io.SEEK_END)
    file.seek(0)
    headers = _HeaderFile(file)
    headers.allow(MAX_HEADER_BYTES)
    last = -1
    try:
        with tarfile.open(fileobj=headers, mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
            while True:
                member = archive.next()
                if member is None:
                    break
                headers.allow(MAX_HEADER_BYTES)
                # Otherwise every header would be kept.
                setattr(archive, "members", [])  # noqa: B010  # not in the type stubs
                if member.size < 0 or member.offset <= last:
                    raise ShardError(f"is damaged: a member of {member.size} bytes at byte {member.offset}")
                last = member.offset
                _require_few(archive.pax_headers)
                if not member.isdir():
                    problem = _problem(member)
                    # The size of a sparse file can be any number.
                    size = 0 if problem is not None else member.size
                    if member.offset_data + size > total:
                        raise ShardError("is damaged: a member ends after the archive")
                    yield TarMember(_name(member.name), member.offset_data, size, problem)
            end = archive.offset
    except RecursionError as error:
        raise ShardError("is damaged: too many extended headers of one member") from error
    except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError) as error:
        raise ShardError(f"is damaged: {' '.join(str(error).split())[:200]}") from error
    _require_end(file, end)


def _name(name: str) -> str:
    """Return the normalised name of a member. Raise ShardError if it leads out of the dataset."""
    while name.startswith("./"):
        name = name[2:]
    if not is_relative(name):
        raise ShardError(f"has a member {name[:200]!r}, whose name must be relative, without empty parts, . and ..")
    return name


def _problem(member: tarfile.TarInfo) -> str | None:
    if member.issym() or member.islnk():
        return "is a link in a tar file, which is not followed"
    if member.issparse():
        return "is a sparse file in a tar file, which is not read"
    return None if member.isreg() else "is no regular file in a tar file"


def _require_few(records: Mapping[str, str]) -> None:
    """Raise ShardError for too many records of global headers, of which `tarfile` keeps all."""
    if records and (len(records) > MAX_GLOBAL_RECORDS or sum(map(len, records.values())) > MAX_HEADER_BYTES):
        raise ShardError(f"has global headers of more than {MAX_GLOBAL_RECORDS} records or {MAX_HEADER_BYTES} bytes")


def _require_records(header: bytes) -> None:
    """Raise ShardError unless an extended header is a list of records `LENGTH KEYWORD=VALUE`, padded with zeros."""
    at = 0
    while header[at : at + 1].strip(b"\0"):
        length = _LENGTH.match(header, at)
        end = at if length is None else at + int(length[0])
        if length is None or header.find(b"=", length.end() + 1, end - 1) < 0 or header[end - 1 : end] != b"\n":
            raise ShardError(f"is damaged: an extended header has no record at byte {at}")
        at = end
    if header[at:].strip(b"\0"):
        raise ShardError(f"is damaged: an extended header has no record at byte {at}")
    if _LONG_NUMBER.search(header):
        raise ShardError("is damaged: an extended header has a number of more than 255 digits")


def _require_end(file: RangeFile, offset: int) -> None:
    """Raise ShardError unless an archive ends as it must: iteration also ends at a damaged header."""
    file.seek(offset)
    block = file.read(_BLOCK)
    if len(block) < _BLOCK:
        raise ShardError("is truncated: it has no end-of-archive mark")
    if any(block):
        raise ShardError(f"is damaged: no header at byte {offset}")


class _HeaderFile(io.RawIOBase):
    """A file of which at most a number of bytes is read for one member: extended headers are read into memory.

    `tarfile` reads a header of one block, and then the content of an extended header as a whole.
    """

    def __init__(self, file: RangeFile) -> None:
        self._file = file
        self._left = 0
        self._is_extended = False

    def allow(self, size: int) -> None:
        """Set the number of bytes that may be read from now on."""
        self._left = size

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes. Raise ShardError beyond the limit."""
        if size < 0 or size > self._left:
            raise ShardError(f"has a header of more than {MAX_HEADER_BYTES} bytes")
        self._left -= size
        data = self._file.read(size)
        if self._is_extended:
            _require_records(data)
        self._is_extended = not self._is_extended and size == _BLOCK and data[_TYPE] in _EXTENDED
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Change the position."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()

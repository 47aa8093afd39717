"""Check that the place of a file in a shard, as a label manifest states it, contains this file.

A manifest of older or newer shards states places of other files; their labels would be wrong.
"""

from __future__ import annotations

import os
import tarfile
import zlib
from typing import Final

from starlight_exporter.dataset.found_files import FoundFile
from starlight_exporter.dataset.sources.names import PARQUET
from starlight_exporter.errors import ImageError

HEADER_BYTES: Final = tarfile.BLOCKSIZE
"""Size of the header of a tar member, which is directly before its content."""
_LONGEST_NAME: Final = 100
"""Bytes of the name in a header; longer names are in an extended header before it, or split."""
_NAME: Final = slice(0, _LONGEST_NAME)
_SIZE: Final = slice(124, 136)
_CHECKSUM: Final = slice(148, 156)
_TYPE: Final = slice(156, 157)
_MAGIC: Final = slice(257, 263)
_PREFIX: Final = slice(345, 500)
_ADLER_MODULUS: Final = 65521
_FILE: Final = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)


def is_header_of(header: bytes, found: FoundFile) -> bool:
    """Return whether a block is the header of a tar member that has the size and name of a file.

    Names that are too long for the header, or not ASCII, are compared as far as the header contains them.
    """
    if len(header) != HEADER_BYTES or header[_TYPE] not in _FILE or not _is_undamaged(header):
        return False
    if _number(header[_SIZE]) != found.size_bytes:
        return False
    name = _text(header[_NAME])
    prefix = _text(header[_PREFIX]) if header[_MAGIC] == b"ustar\0" else ""
    name = f"{prefix}/{name}" if prefix else name
    if _is_name_of(name, found.path):
        return True
    is_extended = len(os.fsencode(found.path)) > _LONGEST_NAME or not found.path.isascii()
    plain = _plain(name)
    return is_extended and bool(plain) and plain in _plain(found.path)


def is_row_of(name: object, size_bytes: int, found: FoundFile) -> bool:
    """Return whether a row of a Parquet shard has the size and name of a file; a row may have no name."""
    if size_bytes != found.size_bytes:
        return False
    if not isinstance(name, str) or not name:
        return True
    return _is_name_of(name, found.path) or found.path == row_path(found.shard or "", found.offset, name)


def other_file(found: FoundFile) -> ImageError:
    """Return the error of a file whose place contains another file."""
    unit = "row" if (found.shard or "").lower().endswith(PARQUET) else "byte"
    text = f"{found.placed_by} names it at {unit} {found.offset} of {found.shard}, which has another file there"
    return ImageError(text, reason="unreadable")


def row_path(shard: str, row: int, name: object) -> str:
    """Return a path for a row that no other row has; the paths in Parquet shards may be missing or equal."""
    stem = shard[: -len(PARQUET)]
    base = str(name).rpartition("/")[2] if isinstance(name, str) else ""
    return f"{stem}/{row:06d}-{base}" if base.isprintable() and 0 < len(base) <= 255 else f"{stem}/{row:06d}"


def _is_undamaged(header: bytes) -> bool:
    # The sum of all bytes, with spaces in place of the checksum. `tarfile` takes 8 times as long to parse a header.
    stated = _number(header[_CHECKSUM])
    spaces = len(header[_CHECKSUM]) * ord(" ")
    return stated is not None and _sum(header) == (stated + sum(header[_CHECKSUM]) - spaces) % _ADLER_MODULUS


def _sum(data: bytes) -> int:
    """Return the sum of bytes modulo _ADLER_MODULUS, which is part of their Adler-32 checksum."""
    return ((zlib.adler32(data) & 0xFFFF) - 1) % _ADLER_MODULUS


def _number(field: bytes) -> int | None:
    """Return an octal number, or the binary one that GNU tar writes for large numbers; None for another field."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    try:
        return int(field.partition(b"\0")[0], 8)
    except ValueError:
        return None


def _text(field: bytes) -> str:
    return os.fsdecode(field.partition(b"\0")[0])


def _is_name_of(name: str, path: str) -> bool:
    """Return whether a name and a path are equal, or one is the other in a folder."""
    name = name.removeprefix("./")
    return name == path or path.endswith(f"/{name}") or name.endswith(f"/{path}")


def _plain(name: str) -> bytes:
    """Return the characters that remain where others are replaced by `?` or deleted."""
    return name.removeprefix("./").encode("ascii", "ignore").replace(b"?", b"")

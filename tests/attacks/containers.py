"""The structure of image files: chunks, segments, blocks, boxes and tags, and the numbers in their headers.

The readers are lenient: they return what they recognise, also in damaged files.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

_MOST_FOUND: Final = 2000
_BOXES_WITH_BOXES: Final = {b"meta": 12, b"iprp": 8, b"ipco": 8, b"jp2h": 8, b"moov": 8, b"trak": 8, b"iinf": 14}


@dataclass(frozen=True, slots=True)
class Number:
    """A number in a header: its position and its format for `struct`."""

    at: int
    kind: str

    def write(self, data: bytearray, value: int) -> None:
        """Write the low bits of a value."""
        size = struct.calcsize(self.kind)
        if self.at + size <= len(data):
            order: Literal["little", "big"] = "little" if self.kind[0] == "<" else "big"
            data[self.at : self.at + size] = (value % (1 << 8 * size)).to_bytes(size, order)


@dataclass(frozen=True, slots=True)
class Part:
    """A chunk, segment, block, box or tag from `start` to `end`, with its stored length or count."""

    start: int
    end: int
    length: Number


@dataclass(frozen=True, slots=True)
class Structure:
    """The parts of a file, and its dimensions, counts, depths and offsets."""

    parts: tuple[Part, ...]
    numbers: tuple[Number, ...]


def structure(data: bytes) -> Structure:
    """Return the structure of an image file; empty for an unknown format."""
    parts: list[Part] = []
    numbers: list[Number] = []
    for magic, offset, read in _READERS:
        if data[offset : offset + len(magic)] == magic:
            with suppress(struct.error, IndexError):
                for found in itertools.islice(read(data), _MOST_FOUND):
                    if isinstance(found, Part):
                        parts.append(found)
                    else:
                        numbers.append(found)
            break
    return Structure(tuple(parts), tuple(numbers))


def _fields(at: int, kinds: str, order: str) -> Iterator[Number]:
    for kind in kinds:
        yield Number(at, order + kind)
        at += struct.calcsize(kind)


def _png(data: bytes) -> Iterator[Part | Number]:
    at = 8
    while at + 12 <= len(data):
        size = struct.unpack_from(">I", data, at)[0]
        yield Part(at, min(at + 12 + size, len(data)), Number(at, ">I"))
        if data[at + 4 : at + 8] == b"IHDR":
            yield from _fields(at + 8, "IIBBBBB", ">")
        if data[at + 4 : at + 8] in (b"acTL", b"fcTL", b"pHYs"):
            yield from _fields(at + 8, "II", ">")
        at += 12 + size


def _jpeg(data: bytes) -> Iterator[Part | Number]:
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, size = data[at + 1], struct.unpack_from(">H", data, at + 2)[0]
        end = at + 2 + size
        if marker == 0xDA:
            # Entropy-coded data up to the next marker, except stuffed bytes and restart markers.
            while end + 1 < len(data) and (data[end] != 0xFF or data[end + 1] in (0, *range(0xD0, 0xD8))):
                end += 1
        yield Part(at, min(end, len(data)), Number(at + 2, ">H"))
        if marker in range(0xC0, 0xCF) and marker not in (0xC4, 0xC8, 0xCC):
            yield from _fields(at + 4, "BHHB", ">")
        if marker == 0xDD:
            yield Number(at + 4, ">H")
        at = end


def _gif(data: bytes) -> Iterator[Part | Number]:
    yield from _fields(6, "HHB", "<")
    at = 13 + (3 << (data[10] & 7) + 1 if data[10] & 0x80 else 0)
    while at + 2 < len(data) and data[at] in (0x21, 0x2C):
        start = at
        if data[at] == 0x2C:
            yield from _fields(at + 1, "HHHHB", "<")
            flags = data[at + 9]
            at += 10 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
            yield Number(at, "<B")
            at += 1
        else:
            yield from _fields(at + 3, "B", "<")
            at += 2
        first = at
        while data[at]:
            at += data[at] + 1
        at += 1
        yield Part(start, at, Number(first, "<B"))


def _riff(data: bytes) -> Iterator[Part | Number]:
    yield Number(4, "<I")
    at = 12
    while at + 8 <= len(data):
        size = struct.unpack_from("<I", data, at + 4)[0]
        yield Part(at, min(at + 8 + size, len(data)), Number(at + 4, "<I"))
        kind = data[at : at + 4]
        if kind == b"VP8 ":
            yield from _fields(at + 14, "HH", "<")
        elif kind == b"VP8L":
            yield Number(at + 9, "<I")
        elif kind in (b"VP8X", b"ANMF", b"ANIM"):
            yield from _fields(at + 8, "BBHHHHH", "<")
        at += 8 + size + size % 2


def _bmp(_data: bytes) -> Iterator[Part | Number]:
    yield from _fields(10, "IIiiHHIIiiII", "<")


def _tiff(data: bytes) -> Iterator[Part | Number]:
    order = "<" if data[:2] == b"II" else ">"
    yield Number(4, f"{order}I")
    at = struct.unpack_from(f"{order}I", data, 4)[0]
    seen: set[int] = set()
    while at and at not in seen:
        seen.add(at)
        count = struct.unpack_from(f"{order}H", data, at)[0]
        yield Number(at, f"{order}H")
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            yield Part(entry, entry + 12, Number(entry + 4, f"{order}I"))
            yield from _fields(entry, "HH", order)
            yield Number(entry + 8, f"{order}I")
        yield Number(at + 2 + 12 * count, f"{order}I")
        at = struct.unpack_from(f"{order}I", data, at + 2 + 12 * count)[0]


def _boxes(data: bytes, at: int = 0, end: int | None = None) -> Iterator[Part | Number]:
    end = len(data) if end is None else end
    while at + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, at)
        after = min(at + max(size, 8), end)
        yield Part(at, after, Number(at, ">I"))
        if kind in _BOXES_WITH_BOXES:
            yield from _boxes(data, at + _BOXES_WITH_BOXES[kind], after)
        elif kind in (b"ispe", b"pixi", b"iloc", b"infe", b"grid"):
            yield from _fields(at + 12, "II", ">")
        elif kind == b"ihdr":
            yield from _fields(at + 8, "IIHBB", ">")
        elif kind == b"jp2c":
            yield from _codestream(data, at + 8)
        at = after


def _codestream(data: bytes, at: int = 0) -> Iterator[Part | Number]:
    """JPEG 2000: the SIZ segment has image, tile and component sizes; segments follow."""
    at += 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, size = data[at + 1], struct.unpack_from(">H", data, at + 2)[0]
        yield Part(at, min(at + 2 + size, len(data)), Number(at + 2, ">H"))
        if marker == 0x51:
            yield from _fields(at + 6, "IIIIIIIIH", ">")
        if marker == 0x52:
            yield from _fields(at + 4, "BBHBBBBB", ">")
        if marker == 0x93:
            return
        at += 2 + size


_READERS: Final = (
    (b"\x89PNG", 0, _png),
    (b"\xff\xd8", 0, _jpeg),
    (b"GIF8", 0, _gif),
    (b"RIFF", 0, _riff),
    (b"BM", 0, _bmp),
    (b"II*\0", 0, _tiff),
    (b"MM\0*", 0, _tiff),
    (b"ftyp", 4, _boxes),
    (b"jP  ", 4, _boxes),
    (b"\xff\x4f", 0, _codestream),
)

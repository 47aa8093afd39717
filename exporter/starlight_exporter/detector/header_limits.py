"""Limits that an image file must respect before Pillow opens it, because opening it already costs memory or time.

The functions follow what Pillow reads, so that a file cannot show them one size and Pillow another. They raise
ImageError `too_large`, or any exception of malformed data (see `decoding.DECODER_ERRORS`).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Final

from starlight_exporter.errors import ImageError

MAX_JPEG_SCANS: Final = 100
"""Each scan of a progressive JPEG costs a pass over all pixels. libtiff has the same limit."""
MAX_JPEG_EXIF_BYTES: Final = 1024 * 1024
"""All EXIF segments together. Pillow parses them when it opens a file, and needs up to 40 times their size."""
MAX_PNG_COMPRESSED_CHUNKS: Final = 100
"""Chunks of compressed text and colour profiles. Pillow decompresses each to up to 1 MiB."""
MAX_HEADER_STEPS: Final = 100_000
"""Segments of JPEG and GIF before the pixels, and bytes between them: Pillow reads them one at a time."""
MAX_TIFF_TAGS: Final = 4096
MAX_TIFF_VALUES: Final = 1_000_000
"""Values of one TIFF tag, such as the offsets of strips."""

_PNG_COMPRESSED: Final = (b"iCCP", b"zTXt", b"iTXt")
_EXIF, _GPS, _INTEROPERABILITY = 0x8769, 0x8825, 0xA005
_SUB_DIRECTORIES: Final = (_EXIF, _GPS, _INTEROPERABILITY)
_TIFF_SIZES: Final = {3: 2, 4: 4, 5: 8, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
"""Types of TIFF values that Pillow converts one by one -> bytes of a value."""
_POINTERS: Final = {3: "H", 4: "L", 13: "L", 16: "Q"}
# Markers that Pillow does not skip with their segment: it searches on behind the marker itself.
_JPEG_WITHOUT_SEGMENT: Final = frozenset((0xC8, *range(0xD0, 0xDA), *range(0xF0, 0xFE)))
_JPEG_SCAN, _JPEG_END, _JPEG_APP1 = 0xDA, 0xD9, 0xE1
# A marker in compressed data: neither a stuffed byte nor a restart marker.
_JPEG_MARKER: Final = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)


def check_pixels(width: int, height: int, max_pixels: int) -> None:
    """Raise ImageError `too_large` if an image has more pixels than the limit."""
    if width * height > max_pixels:
        raise ImageError(f"{width}×{height} pixels, more than the limit of {max_pixels}", reason="too_large")


def check_before_opening(data: bytes, pillow_format: str, max_pixels: int) -> None:
    """Check a file of one of the decoded formats."""
    match pillow_format:
        case "GIF":
            # Pillow allocates the frame to restore the background after it.
            check_pixels(*_gif_size(data), max_pixels)
        case "WEBP":
            # The decoder allocates the canvas twice.
            check_pixels(*_webp_size(data), max_pixels)
        case "JPEG":
            _check_jpeg(data)
        case "PNG":
            _check_png(data)
        case "TIFF":
            _check_tiff(data)
        case "JPEG2000":
            # The decoder allocates by the size in the codestream, Pillow reads that of the container.
            for match in re.finditer(rb"\xff\x4f\xff\x51.{4}(.{16})", data, re.DOTALL):
                right, bottom, left, top = struct.unpack(">IIII", match[1])
                check_pixels(max(0, right - left), max(0, bottom - top), max_pixels)
        case "AVIF":
            for match in re.finditer(rb"ispe.{4}(.{8})", data, re.DOTALL):
                width, height = struct.unpack(">II", match[1])
                check_pixels(width, height, max_pixels)


def _check_steps(steps: int) -> None:
    if steps > MAX_HEADER_STEPS:
        raise ImageError(f"more than {MAX_HEADER_STEPS} segments before the pixels", reason="too_large")


def _gif_size(data: bytes) -> tuple[int, int]:
    """Return the size of the logical screen, extended to the first frame; without a frame that of the screen."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    steps = 0
    while at < len(data) and data[at : at + 1] != b";":
        steps += 1
        _check_steps(steps)
        kind = data[at : at + 1]
        at += 1
        if kind == b",":
            left, top, across, down = struct.unpack_from("<HHHH", data, at)
            return max(width, left + across), max(height, top + down)
        if kind == b"!":
            at = _after_gif_extension(data, at)
    return width, height


def _after_gif_extension(data: bytes, at: int) -> int:
    label = data[at]
    first, at = _gif_block(data, at + 1)
    if label == 0xFE and not first:
        return at
    if label == 0xFF and first.startswith(b"NETSCAPE2.0"):
        _, at = _gif_block(data, at)
    while True:
        block, at = _gif_block(data, at)
        if not block:
            return at


def _gif_block(data: bytes, at: int) -> tuple[bytes, int]:
    length = data[at] if at < len(data) else 0
    return data[at + 1 : at + 1 + length], at + 1 + length


def _webp_size(data: bytes) -> tuple[int, int]:
    match data[12:16]:
        case b"VP8 " if data[23:26] == b"\x9d\x01\x2a":
            width, height = struct.unpack_from("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L" if data[20] == 0x2F:
            (bits,) = struct.unpack_from("<I", data, 21)
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X" if len(data) >= 30:
            return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    raise ImageError("damaged WEBP header", reason="unreadable")


def _check_jpeg(data: bytes) -> None:
    at, exif, steps = 2, 0, 0
    while 0 <= (found := data.find(b"\xff", at)) < len(data) - 3:
        steps += 1 + found - at
        _check_steps(steps)
        at = found
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker == 0 or marker in _JPEG_WITHOUT_SEGMENT:
            at += 2
        elif marker == _JPEG_SCAN:
            break
        else:
            length = int.from_bytes(data[at + 2 : at + 4], "big")
            if marker == _JPEG_APP1 and data.startswith(b"Exif\0\0", at + 4):
                exif += length
            at += 2 + max(2, length)
    else:
        _check_steps(steps + len(data) - at)
        at = found
    if exif > MAX_JPEG_EXIF_BYTES:
        raise ImageError(f"{exif} bytes of EXIF, more than the limit of {MAX_JPEG_EXIF_BYTES}", reason="too_large")
    # Appended data may contain any number of markers, so they are only counted exactly if there are many.
    if at >= 0 and data.count(b"\xff\xda", at) > MAX_JPEG_SCANS and _jpeg_scans(data, at) > MAX_JPEG_SCANS:
        raise ImageError(f"more than {MAX_JPEG_SCANS} scans", reason="too_large")


def _jpeg_scans(data: bytes, at: int) -> int:
    """Return the number of scans from this position to the end of the image, but stop above the limit."""
    scans = 0
    while scans <= MAX_JPEG_SCANS and (found := _JPEG_MARKER.search(data, at)):
        marker, at = found[1][0], found.end()
        if marker == _JPEG_END:
            break
        scans += marker == _JPEG_SCAN
        at += max(2, int.from_bytes(data[at : at + 2], "big"))
    return scans


def _check_png(data: bytes) -> None:
    # Appended data may contain any name, so chunks are only counted exactly if there are many.
    if sum(map(data.count, _PNG_COMPRESSED)) > MAX_PNG_COMPRESSED_CHUNKS:
        at, chunks = 8, 0
        while at + 8 <= len(data) and data[at + 4 : at + 8] != b"IEND":
            chunks += data[at + 4 : at + 8] in _PNG_COMPRESSED
            at += 12 + int.from_bytes(data[at : at + 4], "big")
        if chunks > MAX_PNG_COMPRESSED_CHUNKS:
            raise ImageError(
                f"{chunks} compressed chunks of metadata, more than the limit of {MAX_PNG_COMPRESSED_CHUNKS}",
                reason="too_large",
            )


def _check_tiff(data: bytes) -> None:
    order, is_big = "<" if data.startswith(b"II") else ">", data[2] == 43
    directories = list(struct.unpack_from(f"{order}Q", data, 8) if is_big else struct.unpack_from(f"{order}L", data, 4))
    seen: set[int] = set()
    while directories:
        start = directories.pop()
        if start not in seen and start + 8 <= len(data):
            seen.add(start)
            directories.extend(_check_tiff_directory(data, start, order, is_big))


def _check_tiff_directory(data: bytes, start: int, order: str, is_big: bool) -> Iterator[int]:
    """Check one directory; yield where its sub-directories may be."""
    (count,) = struct.unpack_from(f"{order}Q" if is_big else f"{order}H", data, start)
    if count > MAX_TIFF_TAGS:
        raise ImageError(f"{count} TIFF tags, more than the limit of {MAX_TIFF_TAGS}", reason="too_large")
    entry = struct.Struct(f"{order}HHQQ" if is_big else f"{order}HHLL")
    start += 8 if is_big else 2
    for at in range(start, min(start + count * entry.size, len(data) - entry.size + 1), entry.size):
        tag, kind, values, _ = entry.unpack_from(data, at)
        # Pillow ignores a tag that is larger than the file.
        if values > MAX_TIFF_VALUES and 0 < values * _TIFF_SIZES.get(kind, 0) <= len(data):
            raise ImageError(
                f"{values} values of TIFF tag {tag}, more than the limit of {MAX_TIFF_VALUES}", reason="too_large"
            )
        if tag in _SUB_DIRECTORIES and kind in _POINTERS:
            yield struct.unpack_from(order + _POINTERS[kind], data, at + entry.size - (8 if is_big else 4))[0]

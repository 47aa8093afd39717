"""Decode image files with Pillow: everything that the streams need, without keeping a Pillow image.

Separate from `streams`, so that decoding and feature extraction can be timed separately.
"""

from __future__ import annotations

import io
import logging
import re
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, UnidentifiedImageError

from starlight_exporter.detector.arrays import ByteArray
from starlight_exporter.detector.contract import CROP, DEFAULT_MAX_PIXELS, META_BYTES, PALETTE_BYTES, ImageFormat
from starlight_exporter.detector.contract import image_format as bounded_format
from starlight_exporter.errors import ImageError

# Load all plugins now: Pillow's lazy initialisation loses formats if two threads open their first images concurrently.
Image.init()
# Plugins log some damage as errors; each damaged file is already reported once, as an ImageError.
logging.getLogger("PIL").setLevel(logging.CRITICAL)
# The header is compared with `max_pixels` below. Pillow's own limit warns first, through state shared by all threads.
Image.MAX_IMAGE_PIXELS = None

_COMMON: Final = ("JPEG", "PNG", "GIF", "WEBP", "BMP")
# EPS starts another program; ICO and ICNS decode embedded images before their size can be checked.
_REFUSED: Final = frozenset({"EPS", "ICO", "ICNS"})
OPENED_FORMATS: Final = (*_COMMON, *(name for name in Image.ID if name not in _REFUSED and name not in _COMMON))
"""Pillow's names of the formats that may be opened. All others are refused, also when only a header is read."""

DECODER_ERRORS: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    LookupError,
    EOFError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
)
"""Exceptions that Pillow raises for malformed files, more than its documentation lists."""

_PILLOW_MODULES: Final = r"PIL\."
_PILLOW_FILTER: Final = ("ignore", None, Warning, re.compile(_PILLOW_MODULES), 0)

_TAIL_MINIMUM_FILE: Final = 1000
_WEBP_TAIL_SLACK: Final = 100
_END_MARKS: Final = {"JPEG": (b"\xff\xd9", 2), "PNG": (b"IEND", 12), "GIF": (b";", 1)}


@dataclass(frozen=True, slots=True, eq=False)
class DecodedImage:
    """A decoded image, from which the streams are computed. The arrays are uint8 and read-only.

    `rgb`: (3, 256, 256), the centre crop; `alpha`: (height, width), the full plane for mode RGBA, else None; `luma`:
    (256, 256), the centre crop in greyscale for mode P, else None; `palette`: at most 768 bytes; `meta`: at most 2,048
    bytes, EXIF followed by the tail. `exif_bytes` and `tail_bytes` are the untruncated lengths. `pillow_format` and
    `mode` are Pillow's (a greyscale GIF has mode P); `width` and `height` are those of the full image in pixels.
    """

    image_format: ImageFormat
    pillow_format: str
    mode: str
    width: int
    height: int
    exif_bytes: int
    tail_bytes: int
    rgb: ByteArray
    alpha: ByteArray | None
    luma: ByteArray | None
    palette: bytes
    meta: bytes


def decode(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> DecodedImage:
    """Decode the first frame of an image file.

    Raises ImageError `too_large` from the header, before any pixel is decoded, or `unreadable`.
    """
    if not data:
        raise ImageError("the file is empty", reason="unreadable")
    _silence_pillow()
    try:
        return _decode(data, max_pixels)
    except UnidentifiedImageError as error:
        # Pillow's message contains a memory address.
        raise ImageError("no image format is recognised", reason="unreadable") from error
    except DECODER_ERRORS as error:
        raise ImageError(f"not decodable: {_one_line(error)}", reason="unreadable") from error


def crop_box(width: int, height: int) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the centre crop: at most 256 pixels per axis, the full axis if shorter."""
    left, right = _crop_span(width)
    top, bottom = _crop_span(height)
    return left, top, right, bottom


def zero_padded(planes: ByteArray) -> ByteArray:
    """Pad planes (n, height, width) of at most 256×256 with zeros on all sides to (n, 256, 256)."""
    count, height, width = planes.shape
    if (height, width) == (CROP, CROP):
        return planes
    full = np.zeros((count, CROP, CROP), np.uint8)
    top, left = (CROP - height) // 2, (CROP - width) // 2
    full[:, top : top + height, left : left + width] = planes
    full.flags.writeable = False
    return full


def _decode(data: bytes, max_pixels: int) -> DecodedImage:
    with Image.open(io.BytesIO(data), formats=OPENED_FORMATS) as image:
        if image.width * image.height > max_pixels:
            raise ImageError(
                f"{image.width}×{image.height} pixels, more than the limit of {max_pixels}", reason="too_large"
            )
        image.load()
        width, height = image.size
        if not width or not height:
            raise ImageError(f"{width}×{height} pixels: an image without pixels", reason="unreadable")
        pillow_format = image.format or ""
        exif = image.info.get("exif", b"")
        if not isinstance(exif, bytes):
            # A PNG text chunk named "exif", which is not EXIF.
            exif = b""
        # Pillow warns when it converts transparency, and fails on damaged entries. No stream uses it.
        image.info.pop("transparency", None)
        box = crop_box(width, height)
        crop: Image.Image = image if box == (0, 0, width, height) else image.crop(box)
        if pillow_format == "GIF" and crop.mode == "L":
            crop = crop.convert("P")
        mode = crop.mode
        rgb = zero_padded(_planes(crop if mode in ("RGB", "RGBA") else crop.convert("RGB"), "RGB"))
        alpha = _planes(image, "A")[0] if mode == "RGBA" else None
        luma = zero_padded(_planes(crop.convert("L"), "L"))[0] if mode == "P" else None
        palette = bytes(crop.getpalette() or ()) if mode == "P" else b""
    tail = _tail(data, pillow_format)
    return DecodedImage(
        image_format=bounded_format(pillow_format),
        pillow_format=pillow_format,
        mode=mode,
        width=width,
        height=height,
        exif_bytes=len(exif),
        tail_bytes=len(tail),
        rgb=rgb,
        alpha=alpha,
        luma=luma,
        palette=palette[:PALETTE_BYTES],
        meta=(exif + tail[:META_BYTES])[:META_BYTES],
    )


def _silence_pillow() -> None:
    # Pillow warns about damaged metadata. `catch_warnings` is not thread-safe, so the filter is installed permanently,
    # and again after other code has reset or covered the list.
    if not warnings.filters or warnings.filters[0] != _PILLOW_FILTER:
        warnings.filterwarnings("ignore", module=_PILLOW_MODULES)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _planes(image: Image.Image, channels: str) -> ByteArray:
    # One packed plane per channel is several times faster than interleaved pixels that numpy separates.
    packed = [image.tobytes("raw", channel) for channel in channels]
    joined = packed[0] if len(packed) == 1 else b"".join(packed)
    return np.frombuffer(joined, np.uint8).reshape(len(channels), image.height, image.width)


def _crop_span(size: int) -> tuple[int, int]:
    if size <= CROP:
        return 0, size
    start = round((size - CROP) / 2.0)
    return start, start + CROP


def _tail(data: bytes, pillow_format: str) -> bytes:
    if len(data) < _TAIL_MINIMUM_FILE:
        return b""
    if pillow_format == "WEBP":
        end = int.from_bytes(data[4:8], "little") + 8
        return data[end:] if len(data) > end + _WEBP_TAIL_SLACK else b""
    if pillow_format not in _END_MARKS:
        return b""
    mark, length = _END_MARKS[pillow_format]
    found = data.rfind(mark)
    return b"" if found < 0 else data[found + length :]

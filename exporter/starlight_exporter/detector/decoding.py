"""Decode image files with Pillow: everything that the streams need, without keeping a Pillow image.

Format and size are checked before Pillow allocates memory. Separate from `streams`, so that decoding and feature
extraction can be timed separately.
"""

from __future__ import annotations

import io
import logging
import re
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from starlight_exporter.detector.arrays import ByteArray
from starlight_exporter.detector.contract import CROP, DEFAULT_MAX_PIXELS, META_BYTES, PALETTE_BYTES, ImageFormat
from starlight_exporter.detector.contract import image_format as bounded_format
from starlight_exporter.detector.crop import crop_box
from starlight_exporter.detector.format_signatures import decoded_format
from starlight_exporter.detector.header_limits import check_before_opening, check_pixels
from starlight_exporter.errors import ImageError

# Load all plugins now: Pillow's lazy initialisation loses formats if two threads open their first images concurrently.
Image.init()
# Plugins log some damage as errors; each damaged file is already reported once, as an ImageError.
logging.getLogger("PIL").setLevel(logging.CRITICAL)
# Pillow refuses more than twice this number wherever it allocates an image. See `_limit_pillow`.
Image.MAX_IMAGE_PIXELS = DEFAULT_MAX_PIXELS // 2

CONVERTED_MODES: Final = frozenset(("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"))
"""Pillow's modes that are measured. Others have more than 8 bits per channel, which Pillow clips: most become white."""

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
    Image.DecompressionBombError,
)
"""Exceptions that Pillow raises for malformed files, more than its documentation lists."""

_PILLOW_MODULES: Final = r"PIL\."
_PILLOW_FILTER: Final = ("ignore", None, Warning, re.compile(_PILLOW_MODULES), 0)

_TAIL_MINIMUM_FILE: Final = 1000
_WEBP_TAIL_SLACK: Final = 100
_END_MARKS: Final = {"JPEG": (b"\xff\xd9", 2), "PNG": (b"IEND", 12), "GIF": (b";", 1)}

_PIXEL_BYTES: Final[Mapping[str, int]] = {"1": 1, "L": 1, "P": 1}
"""Bytes per pixel in Pillow's memory; 4 for all other modes."""
_DECODER_BYTES: Final[Mapping[str, int]] = {
    "GIF": 1,
    "JPEG": 8,
    "MPO": 8,
    "WEBP": 16,
    "TIFF": 8,
    "AVIF": 16,
    "JPEG2000": 24,
}
"""Bytes per pixel in the memory of the decoder, at most (measured); 0 for the other formats."""
_ALPHA_BYTES: Final = 3
"""Bytes per pixel for the alpha plane and its statistics."""


@dataclass(frozen=True, slots=True)
class Header:
    """Header of an image file; `pillow_format` and `mode` are Pillow's, `width` and `height` in pixels.

    `estimated_bytes` is the memory that decoding needs at most, without the file itself.
    """

    pillow_format: str
    mode: str
    width: int
    height: int
    estimated_bytes: int


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


def read_header(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Header:
    """Return the header of an image file. Raises ImageError like `decode`."""
    with opened(data, max_pixels=max_pixels) as image:
        return _header(image)


def decode(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> DecodedImage:
    """Decode the first frame of an image file.

    Raises ImageError: `unsupported` for formats and modes that are not measured, `too_large` for a size above the
    limits, both before any pixel is decoded, and `unreadable`.
    """
    with opened(data, max_pixels=max_pixels) as image:
        return _decode(data, image)


@contextmanager
def opened(data: bytes, *, max_pixels: int) -> Iterator[Image.Image]:
    """Open an image file whose header is within the limits. Raises ImageError like `decode`, also for the block."""
    if not data:
        raise ImageError("the file is empty", reason="unreadable")
    pillow_format = decoded_format(data)
    silence_pillow()
    _limit_pillow(max_pixels)
    try:
        check_before_opening(data, pillow_format, max_pixels)
        with Image.open(io.BytesIO(data), formats=(pillow_format,)) as image:
            _check_opened(image, max_pixels)
            yield image
    except UnidentifiedImageError as error:
        # Pillow's message contains a memory address.
        raise ImageError(f"damaged {pillow_format} header", reason="unreadable") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"more than {max_pixels} pixels", reason="too_large") from error
    except DECODER_ERRORS as error:
        raise ImageError(f"not decodable: {_one_line(error)}", reason="unreadable") from error


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


def _decode(data: bytes, image: Image.Image) -> DecodedImage:
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


def _check_opened(image: Image.Image, max_pixels: int) -> None:
    check_pixels(*image.size, max_pixels)
    if image.mode not in CONVERTED_MODES:
        raise ImageError(f"pixels of mode {image.mode} are not supported", reason="unsupported")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # A tile may be larger than the image.
        width, height = (image.tag_v2.get(tag) for tag in (TiffImagePlugin.TILEWIDTH, TiffImagePlugin.TILELENGTH))
        if isinstance(width, int) and isinstance(height, int):
            check_pixels(width, height, max_pixels)


def _header(image: Image.Image) -> Header:
    pillow_format = image.format or ""
    pixel_bytes = (
        _PIXEL_BYTES.get(image.mode, 4)
        + _DECODER_BYTES.get(pillow_format, 0)
        + (_ALPHA_BYTES if image.mode == "RGBA" else 0)
    )
    return Header(pillow_format, image.mode, *image.size, image.width * image.height * pixel_bytes)


def _limit_pillow(max_pixels: int) -> None:
    """Let Pillow allocate up to `max_pixels`, a second line of defence. The limit is global, so the largest counts."""
    ceiling = (max_pixels + 1) // 2
    if Image.MAX_IMAGE_PIXELS is None or ceiling > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = ceiling


def silence_pillow() -> None:
    """Suppress Pillow's warnings about damaged metadata."""
    # `catch_warnings` is not thread-safe, so the filter is installed permanently, and again after other code has reset
    # or covered the list.
    if not warnings.filters or warnings.filters[0] != _PILLOW_FILTER:
        warnings.filterwarnings("ignore", module=_PILLOW_MODULES)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _planes(image: Image.Image, channels: str) -> ByteArray:
    # One packed plane per channel is several times faster than interleaved pixels that numpy separates.
    packed = [image.tobytes("raw", channel) for channel in channels]
    joined = packed[0] if len(packed) == 1 else b"".join(packed)
    return np.frombuffer(joined, np.uint8).reshape(len(channels), image.height, image.width)


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

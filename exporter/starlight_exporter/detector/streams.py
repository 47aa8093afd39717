"""File bytes → the eight streams of the detector, bit for bit what the models were trained on.

`decode` is everything that Pillow does; `tensors` derives the features and makes the float32 arrays. They are apart so
that each can be timed, and so that no Pillow image outlives its decoding.
"""

from __future__ import annotations

import io
import logging
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from starlight_exporter.detector.contract import (
    CROP,
    DEFAULT_MAX_PIXELS,
    META_BYTES,
    PALETTE_BYTES,
    STREAM_SHAPES,
    STREAMS,
    ImageFormat,
    Stream,
)
from starlight_exporter.detector.contract import image_format as bounded_format
from starlight_exporter.detector.features import byte_statistics, standard_deviation
from starlight_exporter.errors import ImageError

Bytes = NDArray[np.uint8]
Tensor = NDArray[np.float32]

# All plugins at once: Pillow's own lazy start loses formats when two threads open their first images together.
Image.init()
# Its plugins log some damage as errors of their own; here each file's damage is told once, as an ImageError.
logging.getLogger("PIL").setLevel(logging.CRITICAL)
_COMMON: Final = ("JPEG", "PNG", "GIF", "WEBP", "BMP")
# EPS runs another program; ICO and ICNS decode images inside of them before anybody can look at their size.
_REFUSED: Final = frozenset({"EPS", "ICO", "ICNS"})
OPENED_FORMATS: Final = (*_COMMON, *(name for name in Image.ID if name not in _REFUSED and name not in _COMMON))
"""Pillow's names of the formats that may be opened, for headers too; every other one is refused."""

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
"""What Pillow raises for malformed files; its documentation promises less than its plugins do."""

# The header is held against `max_pixels` here; Pillow's own limit would warn before it refuses, through machinery that
# threads share.
Image.MAX_IMAGE_PIXELS = None

_PILLOW_MODULES: Final = r"PIL\."
_PILLOW_FILTER: Final = ("ignore", None, Warning, re.compile(_PILLOW_MODULES), 0)

_TAIL_MINIMUM_FILE: Final = 1000
_WEBP_TAIL_SLACK: Final = 100
_END_MARKS: Final = {"JPEG": (b"\xff\xd9", 2), "PNG": (b"IEND", 12), "GIF": (b";", 1)}


@dataclass(frozen=True, slots=True, eq=False)
class DecodedImage:
    """What the streams are made of; the arrays are uint8 and read-only.

    `rgb`: (3, 256, 256), the centre crop; `alpha`: (height, width), the whole plane, for mode RGBA, else None; `luma`:
    (256, 256), the centre crop in grey, for mode P, else None; `palette`: at most 768 bytes; `meta`: at most 2,048
    bytes, EXIF then tail. `exif_bytes` and `tail_bytes` are the lengths before anything is cut. `pillow_format` and
    `mode` are Pillow's (a grey GIF counts as P), `width` and `height` pixels of the whole image.
    """

    image_format: ImageFormat
    pillow_format: str
    mode: str
    width: int
    height: int
    exif_bytes: int
    tail_bytes: int
    rgb: Bytes
    alpha: Bytes | None
    luma: Bytes | None
    palette: bytes
    meta: bytes


def decode(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> DecodedImage:
    """Decode the first frame of an image file.

    Raises ImageError: `too_large` by the header alone, before any pixel is decoded, or `unreadable`.
    """
    if not data:
        raise ImageError("the file is empty", reason="unreadable")
    _silence_pillow()
    try:
        return _decode(data, max_pixels)
    except UnidentifiedImageError as error:
        # Pillow's text holds a memory address.
        raise ImageError("no image format is recognised", reason="unreadable") from error
    except DECODER_ERRORS as error:
        raise ImageError(f"not decodable: {_one_line(error)}", reason="unreadable") from error


def tensors(
    decoded: DecodedImage,
    streams: Collection[Stream] = STREAMS,
    *,
    out: Mapping[Stream, Tensor] | None = None,
) -> dict[Stream, Tensor]:
    """Float32 arrays of shape STREAM_SHAPES[stream], without batch axis; only the wanted streams are computed.

    They are new arrays, or those of `out` filled anew: who measures many images gives the same `workspace` again. What
    an image does not have is one array of zeros that all share and nobody writes to.
    """
    bits = low_bits(decoded.rgb) if "lsb" in streams or "content" in streams else None
    result: dict[Stream, Tensor] = {}
    for stream in streams:
        if _lacks(decoded, stream):
            result[stream] = _ZEROS[stream]
            continue
        array = result[stream] = np.empty(STREAM_SHAPES[stream], np.float32) if out is None else out[stream]
        match stream:
            case "pixel":
                unit_interval(decoded.rgb, array)
            case "meta":
                unit_interval(zero_filled(decoded.meta, META_BYTES), array)
            case "alpha":
                assert decoded.alpha is not None
                fill_alpha(alpha_crop(decoded.alpha), array)
            case "lsb":
                array[...] = bits
            case "palette":
                unit_interval(zero_filled(decoded.palette, PALETTE_BYTES), array)
            case "palette_lsb":
                assert decoded.luma is not None
                array[0] = low_bits(decoded.luma)
            case "format":
                array[...] = format_features(decoded)
            case "content":
                assert bits is not None
                array[:3] = byte_statistics(bits)
                array[3:] = 0 if decoded.alpha is None else byte_statistics(low_bits(decoded.alpha))
    return result


def _shared_zeros() -> dict[Stream, Tensor]:
    zeros = {stream: np.zeros(shape, np.float32) for stream, shape in STREAM_SHAPES.items()}
    for array in zeros.values():
        array.flags.writeable = False
    return zeros


# Left alone, their memory stays out of the way of what is computed; filling it anew takes time.
_ZEROS: Final = _shared_zeros()


def _lacks(decoded: DecodedImage, stream: Stream) -> bool:
    match stream:
        case "alpha":
            return decoded.alpha is None
        case "palette_lsb":
            return decoded.luma is None
        case "palette":
            return not decoded.palette
        case "meta":
            return not decoded.meta
        case _:
            return False


def workspace(streams: Collection[Stream] = STREAMS) -> dict[Stream, Tensor]:
    """Arrays for `tensors(..., out=)`, one set per thread.

    Fresh memory for the 2.3 MB of one image costs more, in page faults, than all that is computed in it.
    """
    return {stream: np.empty(STREAM_SHAPES[stream], np.float32) for stream in streams}


class ThreadWorkspace(threading.local):
    """A `workspace` for each thread that asks."""

    def __init__(self, streams: Collection[Stream]) -> None:
        self.arrays = workspace(streams)


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
            # A PNG text chunk may be called "exif"; that is no EXIF.
            exif = b""
        # Pillow would warn about converting transparency, or fail on a damaged entry; no stream looks at it.
        image.info.pop("transparency", None)
        box = _crop_box(width, height)
        crop: Image.Image = image if box == (0, 0, width, height) else image.crop(box)
        if pillow_format == "GIF" and crop.mode == "L":
            crop = crop.convert("P")
        mode = crop.mode
        rgb = _padded(_planes(crop if mode in ("RGB", "RGBA") else crop.convert("RGB"), "RGB"))
        alpha = _planes(image, "A")[0] if mode == "RGBA" else None
        luma = _padded(_planes(crop.convert("L"), "L"))[0] if mode == "P" else None
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
    # Damaged metadata makes Pillow warn. `catch_warnings` is not safe with threads, so the filter stays, and is put
    # back when somebody else has restored or covered the list.
    if not warnings.filters or warnings.filters[0] != _PILLOW_FILTER:
        warnings.filterwarnings("ignore", module=_PILLOW_MODULES)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _planes(image: Image.Image, bands: str) -> Bytes:
    # One packed plane per band is several times faster than interleaved pixels that numpy takes apart.
    packed = [image.tobytes("raw", band) for band in bands]
    joined = packed[0] if len(packed) == 1 else b"".join(packed)
    return np.frombuffer(joined, np.uint8).reshape(len(bands), image.height, image.width)


def _crop_span(size: int) -> tuple[int, int]:
    if size <= CROP:
        return 0, size
    start = round((size - CROP) / 2.0)
    return start, start + CROP


def _crop_box(width: int, height: int) -> tuple[int, int, int, int]:
    left, right = _crop_span(width)
    top, bottom = _crop_span(height)
    return left, top, right, bottom


def _padded(planes: Bytes) -> Bytes:
    count, height, width = planes.shape
    if (height, width) == (CROP, CROP):
        return planes
    full = np.zeros((count, CROP, CROP), np.uint8)
    top, left = (CROP - height) // 2, (CROP - width) // 2
    full[:, top : top + height, left : left + width] = planes
    full.flags.writeable = False
    return full


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


def low_bits(plane: Bytes) -> Bytes:
    """The lowest bit of every byte, as 0 and 1."""
    bits: Bytes = np.bitwise_and(plane, np.uint8(1))
    return bits


def unit_interval(values: Bytes, out: Tensor) -> None:
    """Bytes over 255 as float32, into `out`."""
    # A division: the product with 1/255 differs for 126 of the 256 values.
    np.divide(values, np.float32(255), out=out, dtype=np.float32)


def zero_filled(source: bytes, length: int) -> Bytes:
    """`source` with zeros behind it, as an array of `length` bytes."""
    return np.frombuffer(source.ljust(length, b"\0"), np.uint8)


def alpha_crop(plane: Bytes) -> Bytes:
    """The centre crop (256, 256) of a whole alpha plane."""
    height, width = plane.shape
    left, top, right, bottom = _crop_box(width, height)
    crop: Bytes = _padded(plane[np.newaxis, top:bottom, left:right])[0]
    return crop


def fill_alpha(crop: Bytes | None, array: Tensor) -> None:
    """Both planes of the stream `alpha` from the crop; zeros without one."""
    if crop is None:
        array[...] = 0
        return
    unit_interval(crop, array[0])
    array[1] = low_bits(crop)


def format_features(decoded: DecodedImage) -> tuple[float, ...]:
    """The six numbers of the stream `format`."""
    return (
        float(decoded.mode == "RGBA"),
        0.0 if decoded.alpha is None else standard_deviation(decoded.alpha) / 255.0,
        float(decoded.mode == "P"),
        float(decoded.mode == "RGB"),
        decoded.width / 256.0,
        decoded.height / 256.0,
    )

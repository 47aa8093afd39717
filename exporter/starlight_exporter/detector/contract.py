"""The detector's names and shapes: streams, ONNX inputs and outputs, methods.

Source: the signature of the published Starlight detectors. These names appear in configurations, labels and reports.
"""

from __future__ import annotations

from typing import Literal

CROP = 256
DEFAULT_MAX_PIXELS = 4096 * 4096
"""Larger pictures are not measured unless a configuration says so."""
META_BYTES = 2048
PALETTE_BYTES = 768

Stream = Literal["pixel", "meta", "alpha", "lsb", "palette", "palette_lsb", "format", "content"]
STREAMS: tuple[Stream, ...] = ("pixel", "meta", "alpha", "lsb", "palette", "palette_lsb", "format", "content")

STREAM_SHAPES: dict[Stream, tuple[int, ...]] = {
    "pixel": (3, CROP, CROP),
    "meta": (META_BYTES,),
    "alpha": (2, CROP, CROP),
    "lsb": (3, CROP, CROP),
    "palette": (PALETTE_BYTES,),
    "palette_lsb": (1, CROP, CROP),
    "format": (6,),
    "content": (6,),
}

INPUT_STREAMS: dict[str, Stream] = {
    "pixel_tensor": "pixel",
    "meta": "meta",
    "metadata": "meta",
    "alpha": "alpha",
    "lsb": "lsb",
    "palette": "palette",
    "palette_lsb": "palette_lsb",
    "format_features": "format",
    "content_features": "content",
}
"""ONNX input name → stream."""

BIT_ORDER_INPUT = "bit_order"
BIT_ORDER_VALUE = (0.0, 1.0, 0.0)

Method = Literal["alpha", "palette", "lsb", "exif", "eoi"]
METHODS: tuple[Method, ...] = ("alpha", "palette", "lsb", "exif", "eoi")
"""Shown names, in the order of the frozen class ids 0..4."""

TECHNIQUES: dict[str, Method] = {
    "alpha": "alpha",
    "palette": "palette",
    "lsb.rgb": "lsb",
    "lsb": "lsb",
    "exif": "exif",
    "raw": "eoi",
    "eoi": "eoi",
}
"""Technique names of sidecars, folders and file names → shown method name."""

ImageFormat = Literal["jpeg", "png", "gif", "webp", "bmp", "other"]
FORMATS: tuple[ImageFormat, ...] = ("jpeg", "png", "gif", "webp", "bmp")


def image_format(pillow_format: str | None) -> ImageFormat:
    """Pillow's format name as the bounded label of metrics and reports; unlisted formats are `other`."""
    name = (pillow_format or "").lower()
    for known in FORMATS:
        if name == known:
            return known
    return "other"

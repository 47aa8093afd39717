"""Names and shapes of the detector's streams, ONNX inputs, outputs and methods.

Source: the signature of the published Starlight detectors. The names occur in configurations, labels and reports.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

CROP = 256
"""Width and height of the centre crop in pixels."""
DEFAULT_MAX_PIXELS = 64 * 1024 * 1024
"""Default limit of an image's size in pixels; larger images are not measured."""
DEFAULT_MAX_FILE_BYTES = 256 * 1024 * 1024
"""Default limit of the size of an image file; larger files are not read."""
META_BYTES = 2048
PALETTE_BYTES = 768

Stream = Literal["pixel", "meta", "alpha", "lsb", "palette", "palette_lsb", "format", "content"]
STREAMS: Final[tuple[Stream, ...]] = get_args(Stream)

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
"""Shape of each stream without the batch axis."""

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

EMBEDDING_OUTPUT = "embedding"
EMBEDDING_SIZE = 64
"""Length of the optional output `embedding`, N×64."""

BIT_ORDER_INPUT = "bit_order"
BIT_ORDER_VALUE = (0.0, 1.0, 0.0)

Method = Literal["alpha", "palette", "lsb", "exif", "eoi"]
METHODS: Final[tuple[Method, ...]] = get_args(Method)
"""Displayed names, in the order of the frozen class ids 0..4."""

TECHNIQUES: dict[str, Method] = {
    "alpha": "alpha",
    "palette": "palette",
    "lsb.rgb": "lsb",
    "lsb": "lsb",
    "exif": "exif",
    "raw": "eoi",
    "eoi": "eoi",
}
"""Technique in sidecars, folder and file names → displayed method name."""

ImageFormat = Literal["jpeg", "png", "gif", "webp", "bmp", "other"]
FORMATS: Final[tuple[ImageFormat, ...]] = tuple(name for name in get_args(ImageFormat) if name != "other")


def image_format(pillow_format: str | None) -> ImageFormat:
    """Map Pillow's format name to the bounded label of metrics and reports; other formats become `other`.

    MPO is a JPEG file with additional images after the first one, as phone cameras write it.
    """
    name = {"MPO": "jpeg"}.get(pillow_format or "", (pillow_format or "").lower())
    for known in FORMATS:
        if name == known:
            return known
    return "other"

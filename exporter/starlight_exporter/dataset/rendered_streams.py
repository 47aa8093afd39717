"""Streams of an image rendered for display; importable without a decoder, so that the service process can hold them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

STREAM_IMAGES: Final = ("pixel", "lsb-red", "lsb-green", "lsb-blue", "alpha", "alpha-lsb", "palette", "palette-lsb")
"""Names of the images of the streams."""


@dataclass(frozen=True, slots=True)
class RenderedStreams:
    """The eight streams of one image for display.

    `images` are PNG files by name; a name of STREAM_IMAGES is missing if the image does not have that plane. `meta` is
    EXIF and tail, truncated like the stream; `exif_bytes` and `tail_bytes` are the untruncated lengths; `format` and
    `content` are six values each.
    """

    images: dict[str, bytes]
    meta: bytes
    exif_bytes: int
    tail_bytes: int
    colours: int
    format: tuple[float, ...]
    content: tuple[float, ...]

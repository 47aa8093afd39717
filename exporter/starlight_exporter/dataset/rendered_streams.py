"""What a drawing of an image consists of; needs no decoder, so that the process that serves pages can hold one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

STREAM_IMAGES: Final = ("pixel", "lsb-red", "lsb-green", "lsb-blue", "alpha", "alpha-lsb", "palette", "palette-lsb")
"""The names of the pictures of a drawing."""


@dataclass(frozen=True, slots=True)
class RenderedStreams:
    """The eight streams of one image for people: `pictures` are PNG files by name, the rest is as the model gets it.

    A name of STREAM_IMAGES is missing where the image has no such plane. `meta` is EXIF and tail, cut as the stream is;
    `exif_bytes` and `tail_bytes` are the lengths before; `format` and `content` are six numbers each.
    """

    images: dict[str, bytes]
    meta: bytes
    exif_bytes: int
    tail_bytes: int
    colours: int
    format: tuple[float, ...]
    content: tuple[float, ...]

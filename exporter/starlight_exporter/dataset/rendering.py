"""Render dataset files for pages: decoded in a worker and encoded again as PNG, without the original's metadata.

No rendered image is larger than its stream or, for thumbnails, 128 pixels.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from starlight_exporter.activity import NO_ACTIVITY, Activity
from starlight_exporter.dataset.rendered_streams import RenderedStreams
from starlight_exporter.dataset.sources.root import DatasetRoot
from starlight_exporter.dataset.sources.shared import SHARED
from starlight_exporter.dataset.thumbnail_names import thumbnail_name
from starlight_exporter.detector.contract import DEFAULT_MAX_FILE_BYTES, DEFAULT_MAX_PIXELS
from starlight_exporter.detector.decoding import decode, opened
from starlight_exporter.detector.streams import tensors
from starlight_exporter.errors import ImageError

LARGEST_SIDE: Final = 128
_SWATCH: Final = 8


def render_streams(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> RenderedStreams:
    """Render all streams of an image file as the model receives them. Raises ImageError like `decode`."""
    decoded = decode(data, max_pixels=max_pixels)
    streams = tensors(decoded)
    planes = {"pixel": np.rint(streams["pixel"] * 255).transpose(1, 2, 0)}
    planes |= {f"lsb-{name}": plane * 255 for name, plane in zip(("red", "green", "blue"), streams["lsb"], strict=True)}
    if decoded.alpha is not None:
        planes |= {"alpha": np.rint(streams["alpha"][0] * 255), "alpha-lsb": streams["alpha"][1] * 255}
    if decoded.mode == "P":
        planes |= {"palette": _swatches(decoded.palette), "palette-lsb": streams["palette_lsb"][0] * 255}
    return RenderedStreams(
        images={name: _png(plane.astype(np.uint8)) for name, plane in planes.items()},
        meta=decoded.meta,
        exif_bytes=decoded.exif_bytes,
        tail_bytes=decoded.tail_bytes,
        colours=len(decoded.palette) // 3,
        format=tuple(float(value) for value in streams["format"]),
        content=tuple(float(value) for value in streams["content"]),
    )


def thumbnail(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> bytes:
    """Return a small PNG of the full image. Raises ImageError if it cannot be decoded."""
    with opened(data, max_pixels=max_pixels) as image:
        small = image.convert("RGBA")
    small.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    return _png(np.asarray(small))


def write_thumbnails(
    root: DatasetRoot,
    paths: Sequence[str],
    folder: Path,
    activity: Activity = NO_ACTIVITY,
    *,
    max_bytes: int = DEFAULT_MAX_FILE_BYTES,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> None:
    """Write a thumbnail of each file that can be decoded. Failures are ignored, because thumbnails are optional."""
    if paths:
        folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        try:
            with activity.during("thumbnail", path):
                data = SHARED.read_evaluated(root, path, None, max_bytes=max_bytes)
                png = thumbnail(data, max_pixels=max_pixels)
        except (OSError, ImageError):
            continue
        (folder / thumbnail_name(path)).write_bytes(png)


def _swatches(palette: bytes) -> NDArray[np.uint8]:
    """Return the palette as a square of 16×16 colours; missing entries are black."""
    colours = np.frombuffer(palette.ljust(768, b"\0"), np.uint8).reshape(16, 16, 3)
    return colours.repeat(_SWATCH, axis=0).repeat(_SWATCH, axis=1)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    # A new image created from pixels, so that it contains no metadata of the original.
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()

"""Pictures of dataset files for pages: decoded here, in a worker, and re-encoded as PNG from pixels alone.

No byte of the original's metadata comes along, and no picture is larger than its streams or 128 pixels.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from starlight_exporter.dataset.layout import open_header, prepare_decoder
from starlight_exporter.dataset.rendered_streams import RenderedStreams
from starlight_exporter.dataset.thumbnail_names import thumbnail_name
from starlight_exporter.detector.contract import DEFAULT_MAX_PIXELS
from starlight_exporter.detector.decoding import DECODER_ERRORS, decode
from starlight_exporter.detector.streams import tensors
from starlight_exporter.errors import ImageError

LARGEST_SIDE: Final = 128
_SWATCH: Final = 8


def read_evaluated(root: Path, path: str, sha256: str, *, max_bytes: int) -> bytes:
    """The bytes of a file that was evaluated; ImageError where they are gone, too many, or not those any more."""
    try:
        with (root / path).open("rb") as file:
            data = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        raise ImageError(
            f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}", reason="unreadable"
        ) from error
    if len(data) > max_bytes:
        raise ImageError(f"{path}: more than {max_bytes} bytes", reason="too_large")
    if hashlib.sha256(data).hexdigest() != sha256:
        raise ImageError(f"{path}: has changed since it was evaluated", reason="unreadable")
    return data


def render_streams(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> RenderedStreams:
    """Every stream of an image file as the model gets it; raises what `detector.streams.decode` raises."""
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
    """A small PNG of the whole image; ImageError where it does not decode."""
    prepare_decoder()
    try:
        with open_header(io.BytesIO(data)) as image:
            if image.width * image.height > max_pixels:
                raise ImageError(f"{image.width}×{image.height} pixels", reason="too_large")
            small = image.convert("RGBA")
    except DECODER_ERRORS as error:
        raise ImageError("not decodable", reason="unreadable") from error
    small.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    return _png(np.asarray(small))


def write_thumbnails(root: Path, paths: Sequence[str], folder: Path) -> None:
    """Write a thumbnail for each file that decodes; one that does not has none, since it is an extra and no result."""
    if paths:
        folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        try:
            picture = thumbnail((root / path).read_bytes())
        except (OSError, ImageError):
            continue
        (folder / thumbnail_name(path)).write_bytes(picture)


def _swatches(palette: bytes) -> NDArray[np.uint8]:
    """A square of sixteen by sixteen colours, those that the palette does not have in black."""
    colours = np.frombuffer(palette.ljust(768, b"\0"), np.uint8).reshape(16, 16, 3)
    return colours.repeat(_SWATCH, axis=0).repeat(_SWATCH, axis=1)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    # A new picture from pixels alone: no metadata of the original can come along.
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()

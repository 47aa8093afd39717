"""A carrier: pixels in one mode, the file format that stores them, and the innocent extras that go with it."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from starlight_exporter.detector.contract import Method
from starlight_exporter.synthesis.exif import ExifFields, camera_exif, exif_bytes
from starlight_exporter.synthesis.palettes import index_colours
from starlight_exporter.synthesis.tails import innocent_tail
from starlight_exporter.synthesis.transparency import alpha_plane

# A progressive JPEG is encoded in one piece; Pillow's default buffer is too small for a noisy picture at high quality
# ("broken data stream when writing image file").
ImageFile.MAXBLOCK = max(ImageFile.MAXBLOCK, 8 * 1024 * 1024)

Rng = np.random.Generator
Bytes = NDArray[np.uint8]

FileFormat = Literal["jpeg", "png", "gif", "webp", "bmp"]
Mode = Literal["RGB", "RGBA", "P", "L"]

EXTENSIONS: dict[FileFormat, tuple[str, ...]] = {
    "jpeg": ("jpg", "jpg", "jpg", "jpeg"),
    "png": ("png",),
    "gif": ("gif",),
    "webp": ("webp",),
    "bmp": ("bmp",),
}


@dataclass(frozen=True, slots=True)
class Storage:
    """How pixels are stored. `lossy` matters for WebP, which has both kinds."""

    file_format: FileFormat
    mode: Mode
    lossy: bool = False


PNG_RGB, PNG_RGBA, PNG_P, PNG_L = (Storage("png", mode) for mode in ("RGB", "RGBA", "P", "L"))
JPEG_RGB, JPEG_L = Storage("jpeg", "RGB", True), Storage("jpeg", "L", True)
GIF_P = Storage("gif", "P")
WEBP_RGB, WEBP_RGBA = Storage("webp", "RGB"), Storage("webp", "RGBA")
WEBP_LOSSY, WEBP_LOSSY_RGBA = Storage("webp", "RGB", True), Storage("webp", "RGBA", True)
BMP_RGB, BMP_P, BMP_L = (Storage("bmp", mode) for mode in ("RGB", "P", "L"))

EXIF_SHARE = 0.65
TAIL_SHARE = 0.68
"""How many innocent files carry EXIF and tails, of those whose format can: enough that having them tells little."""

Shares = tuple[tuple[Storage, float], ...]

CLEAN: Shares = (
    (JPEG_RGB, 0.16),
    (JPEG_L, 0.02),
    (PNG_RGB, 0.08),
    (PNG_RGBA, 0.15),
    (PNG_P, 0.07),
    (PNG_L, 0.02),
    (GIF_P, 0.15),
    (WEBP_LOSSY, 0.06),
    (WEBP_RGB, 0.04),
    (WEBP_RGBA, 0.10),
    (WEBP_LOSSY_RGBA, 0.03),
    (BMP_RGB, 0.07),
    (BMP_P, 0.04),
    (BMP_L, 0.01),
)
"""Clean files by storage; what a method's files may be stored in is taken from the same shares where it can be."""


def _only(*formats: FileFormat) -> Shares:
    return tuple((storage, share) for storage, share in CLEAN if storage.file_format in formats)


STORAGES: dict[Method, Shares] = {
    "alpha": ((PNG_RGBA, 0.6), (WEBP_RGBA, 0.4)),
    "palette": ((GIF_P, 0.5), (PNG_P, 0.3), (BMP_P, 0.2)),
    "lsb": ((PNG_RGB, 0.28), (PNG_RGBA, 0.2), (WEBP_RGB, 0.16), (WEBP_RGBA, 0.12), (BMP_RGB, 0.24)),
    "exif": _only("jpeg", "png", "webp"),
    # A BMP may be appended to as well, but no stream of the detector shows what follows one.
    "eoi": _only("jpeg", "png", "gif", "webp"),
}


@dataclass(frozen=True, slots=True)
class Carrier:
    """A picture ready to be stored: `pixels` is H×W×3, H×W×4, or H×W (grey values or palette indices)."""

    storage: Storage
    pixels: Bytes
    palette: bytes
    exif: ExifFields | None
    tail: bytes
    seed: int

    def with_pixels(self, pixels: Bytes) -> Carrier:
        """The same carrier over other pixels of the same shape."""
        return replace(self, pixels=pixels)

    def with_exif(self, exif: ExifFields | None) -> Carrier:
        """The same carrier with other EXIF."""
        return replace(self, exif=exif)

    def with_tail(self, tail: bytes) -> Carrier:
        """The same carrier with other bytes after its end."""
        return replace(self, tail=tail)


def make_carrier(rng: Rng, storage: Storage, rgb: Bytes) -> Carrier:
    """Brings an RGB picture (H×W×3) into the storage's mode and draws its innocent extras."""
    palette = b""
    pixels = rgb
    if storage.mode == "RGBA":
        pixels = np.dstack([rgb, alpha_plane(rng, rgb)])
    elif storage.mode == "L":
        pixels = np.asarray(Image.fromarray(rgb).convert("L"))
    elif storage.mode == "P":
        pixels, palette = index_colours(rng, rgb)
    height, width = rgb.shape[:2]
    exif, tail = innocent_extras(rng, storage.file_format, width, height)
    return Carrier(storage, pixels, palette, exif, tail, int(rng.integers(1 << 32)))


def innocent_extras(rng: Rng, file_format: FileFormat, width: int, height: int) -> tuple[ExifFields | None, bytes]:
    """EXIF where the format holds it, and bytes after the end where a decoder's user could see them."""
    exif = camera_exif(rng, width, height) if rng.random() < EXIF_SHARE else None
    tail = innocent_tail(rng) if rng.random() < TAIL_SHARE else b""
    return (exif if file_format in ("jpeg", "png", "webp") else None), (tail if file_format != "bmp" else b"")


def store(carrier: Carrier) -> bytes:
    """The carrier as a file, tail included. Depends on the carrier alone."""
    image = _image(carrier)
    rng = np.random.Generator(np.random.PCG64(carrier.seed))
    out = io.BytesIO()
    options: dict[str, Any] = {}
    if carrier.exif is not None:
        options["exif"] = exif_bytes(carrier.exif)
    match carrier.storage.file_format:
        case "jpeg":
            progressive = bool(rng.random() < 0.25)
            quality = int(rng.choice([60, 75, 80, 85, 90, 92, 95, 97]))
            subsampling = int(rng.choice([0, 1, 2, 2]))
            image.save(out, "JPEG", quality=quality, subsampling=subsampling, progressive=progressive, **options)
        case "png":
            image.save(out, "PNG", compress_level=int(rng.choice([1, 2, 3])), **options)
        case "gif":
            image.save(out, "GIF", optimize=False, interlace=int(rng.random() < 0.4))
        case "webp" if carrier.storage.lossy:
            image.save(out, "WEBP", quality=int(rng.integers(55, 98)), method=1, **options)
        case "webp":
            image.save(out, "WEBP", lossless=True, quality=0, method=0, exact=True, **options)
        case "bmp":
            image.save(out, "BMP")
    return out.getvalue() + carrier.tail


def _image(carrier: Carrier) -> Image.Image:
    height, width = carrier.pixels.shape[:2]
    image = Image.frombytes(carrier.storage.mode, (width, height), np.ascontiguousarray(carrier.pixels).tobytes())
    if carrier.storage.mode == "P":
        image.putpalette(carrier.palette, "RGB")
    return image

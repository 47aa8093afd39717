"""Carriers: cover pixels in one mode, the file format that stores them, and benign EXIF and trailing data."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from starlight_exporter.detector.contract import Method
from starlight_exporter.synthesis.alpha_planes import alpha_plane
from starlight_exporter.synthesis.exif import MAX_CARRIER_EXIF, ExifFields, camera_exif, exif_bytes
from starlight_exporter.synthesis.palettes import quantise_to_palette
from starlight_exporter.synthesis.tails import benign_tail, short_tail

# A progressive JPEG is encoded in one buffer; Pillow's default is too small for a noisy image at high quality
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
class Encoding:
    """File format and colour mode. `lossy` only matters for WebP, which has both variants."""

    file_format: FileFormat
    mode: Mode
    lossy: bool = False


PNG_RGB, PNG_RGBA, PNG_P, PNG_L = (Encoding("png", mode) for mode in ("RGB", "RGBA", "P", "L"))
JPEG_RGB, JPEG_L = Encoding("jpeg", "RGB", True), Encoding("jpeg", "L", True)
GIF_P = Encoding("gif", "P")
WEBP_RGB, WEBP_RGBA = Encoding("webp", "RGB"), Encoding("webp", "RGBA")
WEBP_LOSSY, WEBP_LOSSY_RGBA = Encoding("webp", "RGB", True), Encoding("webp", "RGBA", True)
BMP_RGB, BMP_P, BMP_L = (Encoding("bmp", mode) for mode in ("RGB", "P", "L"))

EXIF_SHARE = 0.65
TAIL_SHARE = 0.68
"""Shares of clean files with EXIF and with a tail, if the format allows it. High, so that neither separates classes."""

Shares = tuple[tuple[Encoding, float], ...]

CLEAN_SHARES: Shares = (
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
"""Shares of the storages of clean files. Stego files use the same shares where the method allows it."""


def _shares_of(*formats: FileFormat) -> Shares:
    return tuple((storage, share) for storage, share in CLEAN_SHARES if storage.file_format in formats)


STORAGES: dict[Method, Shares] = {
    "alpha": ((PNG_RGBA, 0.6), (WEBP_RGBA, 0.4)),
    "palette": ((GIF_P, 0.5), (PNG_P, 0.3), (BMP_P, 0.2)),
    "lsb": ((PNG_RGB, 0.28), (PNG_RGBA, 0.2), (WEBP_RGB, 0.16), (WEBP_RGBA, 0.12), (BMP_RGB, 0.24)),
    "exif": _shares_of("jpeg", "png", "webp"),
    # Data can also be appended to a BMP, but no stream of the detector contains it.
    "eoi": _shares_of("jpeg", "png", "gif", "webp"),
}


@dataclass(frozen=True, slots=True)
class Carrier:
    """An image ready to be encoded. `pixels` is H×W×3, H×W×4, or H×W (grey values or palette indices).

    `xmp` is an XMP packet, for JPEG and WebP only.
    """

    storage: Encoding
    pixels: Bytes
    palette: bytes
    exif: ExifFields | None
    tail: bytes
    seed: int
    xmp: bytes = b""

    def with_pixels(self, pixels: Bytes) -> Carrier:
        """Return a copy with other pixels of the same shape."""
        return replace(self, pixels=pixels)

    def with_exif(self, exif: ExifFields | None) -> Carrier:
        """Return a copy with other EXIF fields."""
        return replace(self, exif=exif)

    def with_tail(self, tail: bytes) -> Carrier:
        """Return a copy with another tail."""
        return replace(self, tail=tail)


def make_carrier(rng: Rng, storage: Encoding, rgb: Bytes) -> Carrier:
    """Convert an RGB image (H×W×3) to the mode of the storage and add random benign EXIF and tail."""
    palette = b""
    pixels = rgb
    if storage.mode == "RGBA":
        pixels = np.dstack([rgb, alpha_plane(rng, rgb)])
    elif storage.mode == "L":
        pixels = np.asarray(Image.fromarray(rgb).convert("L"))
    elif storage.mode == "P":
        pixels, palette = quantise_to_palette(rng, rgb)
    height, width = rgb.shape[:2]
    exif, tail = benign_exif_and_tail(rng, storage.file_format, width, height)
    return Carrier(storage, pixels, palette, exif, tail, int(rng.integers(1 << 32)))


def benign_exif_and_tail(rng: Rng, file_format: FileFormat, width: int, height: int) -> tuple[ExifFields | None, bytes]:
    """Return random benign EXIF, if the format supports it, and a random benign tail, except for BMP."""
    exif = camera_exif(rng, width, height) if rng.random() < EXIF_SHARE else None
    tail = benign_tail(rng) if rng.random() < TAIL_SHARE else b""
    return (exif if file_format in ("jpeg", "png", "webp") else None), (tail if file_format != "bmp" else b"")


def extension(carrier: Carrier) -> str:
    """Return the extension of the file, without dot."""
    choices = EXTENSIONS[carrier.storage.file_format]
    return choices[carrier.seed % len(choices)]


def with_space_for_payload(rng: Rng, method: Method, carrier: Carrier) -> Carrier:
    """Return the carrier with short benign EXIF and tail, so that a payload in metadata is read."""
    if method in ("exif", "eoi") and carrier.exif is not None:
        carrier = carrier.with_exif(carrier.exif.truncated_to(MAX_CARRIER_EXIF))
    if method == "eoi":
        # The payload after a long tail would be beyond the bytes that the detector reads.
        carrier = carrier.with_tail(short_tail(rng) if rng.random() < 0.2 else b"")
    return carrier


def encode(carrier: Carrier) -> bytes:
    """Return the bytes of the image file, including the tail. Depends only on the carrier."""
    image = _image(carrier)
    rng = np.random.Generator(np.random.PCG64(carrier.seed))
    out = io.BytesIO()
    options: dict[str, Any] = {}
    if carrier.exif is not None:
        options["exif"] = exif_bytes(carrier.exif)
    if carrier.xmp:
        options["xmp"] = carrier.xmp
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

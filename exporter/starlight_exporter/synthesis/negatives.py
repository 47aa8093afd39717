"""Hard negatives: benign files that resemble stego files, in five categories."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from starlight_exporter.synthesis.alpha_planes import alpha_plane
from starlight_exporter.synthesis.carriers import benign_exif_and_tail
from starlight_exporter.synthesis.exif import camera_exif, exif_bytes
from starlight_exporter.synthesis.photographs import eight_bits
from starlight_exporter.synthesis.random_choice import choose
from starlight_exporter.synthesis.tails import benign_tail

Rng = np.random.Generator
Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

CATEGORIES = ("rgb_no_alpha", "uniform_alpha", "natural_noise", "patterns", "special_cases")


@dataclass(frozen=True, slots=True)
class Negative:
    """An encoded hard negative: file extension (without dot) and bytes."""

    extension: str
    data: bytes


def make_negative(rng: Rng, category: str, index: int, rgb: Bytes) -> Negative:
    """Return negative number `index` of a category. `rgb` (H×W×3) is the cover for the kinds that need one."""
    match category:
        case "rgb_no_alpha":
            return _store(rng, Image.fromarray(rgb), ("png", "bmp", "webp", "jpg")[index % 4])
        case "uniform_alpha":
            level = (255, 254, 128, 253, 1, 0, 127, 129)[index % 8]
            plane = np.full(rgb.shape[:2], level, dtype=np.uint8)
            # WebP drops a fully opaque alpha plane.
            return _store(rng, Image.fromarray(np.dstack([rgb, plane])), "png" if index % 3 or level == 255 else "webp")
        case "natural_noise":
            return _natural_noise(rng, index, rgb)
        case "patterns":
            return _pattern(rng, index, rgb.shape[1], rgb.shape[0])
        case "special_cases":
            return _SPECIAL[index % len(_SPECIAL)](rng, rgb)
    raise ValueError(f"unknown category of negatives: {category}")


def _store(rng: Rng, image: Image.Image, extension: str, **options: Any) -> Negative:
    out = io.BytesIO()
    exif, tail = benign_exif_and_tail(rng, "png", image.width, image.height)
    if exif is not None and extension in ("png", "jpg", "webp") and rng.random() < 0.4:
        options["exif"] = exif_bytes(exif)
    match extension:
        case "jpg":
            image.save(out, "JPEG", **{"quality": int(rng.integers(70, 98)), **options})
        case "png":
            image.save(out, "PNG", **{"compress_level": 2, **options})
        case "webp":
            image.save(out, "WEBP", **{"lossless": True, "quality": 0, "method": 0, "exact": True, **options})
        case "gif":
            image.save(out, "GIF", **{"optimize": False, **options})
        case _:
            image.save(out, "BMP")
    return Negative(extension, out.getvalue() + (tail if extension != "bmp" and rng.random() < 0.3 else b""))


def _natural_noise(rng: Rng, index: int, rgb: Bytes) -> Negative:
    """Least significant bits with sensor noise, dither or uniform noise, in colours, alpha plane or palette indices."""
    noisy: Bytes
    match index % 5:
        case 0:
            noise = rng.standard_normal(rgb.shape, dtype=np.float32) * np.float32(rng.uniform(1, 12))
            noisy = eight_bits(rgb.astype(np.float32) + noise)
        case 1:
            noisy = (rgb & np.uint8(0xFE)) | rng.integers(0, 2, rgb.shape, dtype=np.uint8)
        case 2:
            # Biased bits: some sensors prefer one value.
            noisy = (rgb & np.uint8(0xFE)) | np.asarray(rng.random(rgb.shape) < rng.uniform(0.55, 0.9), dtype=np.uint8)
        case 3:
            plane = np.uint8(rng.choice([254, 252, 128])) + rng.integers(0, 2, rgb.shape[:2], dtype=np.uint8)
            return _store(rng, Image.fromarray(np.dstack([rgb, plane])), "png")
        case _:
            indices = rng.integers(0, 256, rgb.shape[:2], dtype=np.uint8)
            return _store(rng, _indexed(rng, indices), "gif" if index % 2 else "png")
    return _store(rng, Image.fromarray(noisy), ("png", "webp", "bmp")[index % 3])


def _indexed(rng: Rng, indices: Bytes) -> Image.Image:
    """Return an image of these indices (H×W) with 256 random palette colours."""
    image = Image.frombytes("P", (indices.shape[1], indices.shape[0]), np.ascontiguousarray(indices).tobytes())
    image.putpalette(rng.bytes(768), "RGB")
    return image


def _pattern(rng: Rng, index: int, width: int, height: int) -> Negative:
    """Stripes, checks, ramps and tiles, many with a period of 8 pixels, in colours, alpha plane or palette indices."""
    low, high = sorted(int(value) for value in rng.choice(256, 2, replace=False))
    if index % 3 == 0:
        high = low + 1
    period = (8, 2, 4, 16, 7, 8, 24, 3)[index % 8]
    levels = _periodic(rng, index % 7, period, (np.arange(width)[None, :], np.arange(height)[:, None]))
    grey = eight_bits(low + (high - low) * levels)
    tint = rng.integers(0, 256, 3, dtype=np.uint8) if index % 2 else np.zeros(3, dtype=np.uint8)
    rgb = grey[..., None] ^ tint
    match index % 5:
        case 0:
            plane = np.where(grey == low, 254, 255).astype(np.uint8)
            return _store(rng, Image.fromarray(np.dstack([rgb, plane])), "png")
        case 1:
            return _store(rng, _indexed(rng, grey), "gif" if rng.random() < 0.5 else "png")
        case target:
            return _store(rng, Image.fromarray(rgb), ("png", "bmp", "webp")[target - 2])


def _periodic(rng: Rng, style: int, period: int, places: tuple[Integers, Integers]) -> Floats:
    """Return a plane of values from 0 to 1 with this period in pixels; `places` are column and row numbers."""
    xs, ys = places
    half = max(1, period // 2)
    match style:
        case 0:
            cells = xs // half % 2 + 0 * ys
        case 1:
            cells = ys // half % 2 + 0 * xs
        case 2:
            cells = (xs // half + ys // half) % 2
        case 3:
            cells = np.asarray((xs + ys) % period < half, dtype=np.int64)
        case 4:
            cells = np.asarray(xs % period == period - 1, dtype=np.int64) + 0 * ys
        case 5:
            cells = rng.integers(0, 2, (period, period))[ys % period, xs % period]
        case _:
            return ((xs * max(1, period // 4) + ys) % 256 / np.float32(255)).astype(np.float32)
    return cells.astype(np.float32)


def _solid(rng: Rng, _: Bytes) -> Negative:
    red, green, blue = rng.integers(0, 256, 3).tolist()
    colour = choose(rng, ((0, 0, 0), (255, 255, 255), (red, green, blue)))
    size = (int(rng.integers(1, 300)), int(rng.integers(1, 300)))
    return _store(rng, Image.new("RGB", size, colour), choose(rng, ("png", "bmp", "webp", "jpg")))


def _tiny(rng: Rng, _: Bytes) -> Negative:
    side = choose(rng, (1, 1, 2, 3, 7, 8, 9, 16))
    mode, channels = choose(rng, (("RGB", 3), ("RGBA", 4), ("L", 1)))
    return _store(rng, Image.frombytes(mode, (side, side), rng.bytes(side * side * channels)), "png")


def _one_colour_palette(rng: Rng, _: Bytes) -> Negative:
    image = Image.new("P", (int(rng.integers(8, 300)), int(rng.integers(8, 300))), 0)
    image.putpalette(rng.bytes(3) + b"\x00" * 3, "RGB")
    return _store(rng, image, "gif" if rng.random() < 0.5 else "png")


def _dithered_gif(rng: Rng, rgb: Bytes) -> Negative:
    image = Image.fromarray(rgb)
    few = image.quantize(choose(rng, (2, 4, 8, 16)), method=Image.Quantize.MEDIANCUT)
    return _store(rng, image.quantize(palette=few, dither=Image.Dither.FLOYDSTEINBERG), "gif")


def _animated_gif(rng: Rng, rgb: Bytes) -> Negative:
    frames = [Image.fromarray(np.roll(rgb, shift, axis=1)).quantize(64) for shift in (0, 7, 19)]
    return _store(rng, frames[0], "gif", save_all=True, append_images=frames[1:], duration=80, loop=0)


def _sixteen_bits(rng: Rng, rgb: Bytes) -> Negative:
    """Return a PNG of 16 bits per channel, which Pillow reads but does not write."""
    deep = rgb.astype(np.uint16) * 257
    deep -= np.minimum(deep, rng.integers(0, 100, deep.shape, dtype=np.uint16))
    rows = b"".join(b"\x00" + row.tobytes() for row in deep.astype(">u2"))
    return _rgb_png(rng, rgb, rows, depth=16, interlaced=0)


def _cmyk(rng: Rng, rgb: Bytes) -> Negative:
    return _store(rng, Image.fromarray(rgb).convert("CMYK"), "jpg")


def _grey_alpha(rng: Rng, rgb: Bytes) -> Negative:
    pair = np.dstack([rgb[..., 1], alpha_plane(rng, rgb)])
    image = Image.frombytes("LA", (rgb.shape[1], rgb.shape[0]), np.ascontiguousarray(pair).tobytes())
    return _store(rng, image, "png")


def _transparent_palette(rng: Rng, rgb: Bytes) -> Negative:
    image = Image.fromarray(rgb).quantize(choose(rng, (16, 64, 255)))
    if rng.random() < 0.5:
        return _store(rng, image, "gif", transparency=int(rng.integers(0, 8)))
    return _store(rng, image, "png", transparency=rng.bytes(16))


def _adam7(rng: Rng, rgb: Bytes) -> Negative:
    """Return an interlaced PNG, which Pillow reads but does not write."""
    width = rgb.shape[1]
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    rows = b"".join(
        b"\x00" + row.tobytes()
        for left, top, right, down in passes
        if left < width
        for row in np.ascontiguousarray(rgb[top::down, left::right])
    )
    return _rgb_png(rng, rgb, rows, depth=8, interlaced=1)


def _rgb_png(rng: Rng, rgb: Bytes, rows: bytes, *, depth: int, interlaced: int) -> Negative:
    header = struct.pack(">IIBBBBB", rgb.shape[1], rgb.shape[0], depth, 2, 0, 0, interlaced)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 2)), (b"IEND", b""))
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return Negative("png", data + (benign_tail(rng) if rng.random() < 0.3 else b""))


def _progressive(rng: Rng, rgb: Bytes) -> Negative:
    return _store(rng, Image.fromarray(rgb), "jpg", progressive=True, optimize=True)


def _posterised(rng: Rng, rgb: Bytes) -> Negative:
    mask = choose(rng, (0xFE, 0xFC, 0xF0, 0xE0))
    return _store(rng, Image.fromarray(rgb & np.uint8(mask)), choose(rng, ("png", "bmp", "webp")))


def _all_metadata(rng: Rng, rgb: Bytes) -> Negative:
    fields = camera_exif(rng, rgb.shape[1], rgb.shape[0])
    out = io.BytesIO()
    options: dict[str, Any] = {"exif": exif_bytes(fields), "dpi": (300, 300), "quality": 92}
    Image.fromarray(rgb).save(out, "JPEG", comment=b"CREATOR: gd-jpeg v1.0, quality = 92", **options)
    return Negative("jpg", out.getvalue() + benign_tail(rng))


def _bilevel(rng: Rng, rgb: Bytes) -> Negative:
    return _store(rng, Image.fromarray(rgb).convert("1"), "png" if rng.random() < 0.6 else "bmp")


def _png_with_text_chunk(rng: Rng, rgb: Bytes) -> Negative:
    """Return a PNG with benign text chunks, which no stream of the detector reads."""
    notes = PngInfo()
    notes.add_text("Software", "ImageMagick 7.1.0-19 https://imagemagick.org")
    notes.add_text("Comment", "Rendered with default settings")
    return _store(rng, Image.fromarray(rgb), "png", pnginfo=notes)


_SPECIAL: tuple[Callable[[Rng, Bytes], Negative], ...] = (
    _solid,
    _tiny,
    _one_colour_palette,
    _dithered_gif,
    _animated_gif,
    _sixteen_bits,
    _cmyk,
    _grey_alpha,
    _transparent_palette,
    _adam7,
    _progressive,
    _posterised,
    _all_metadata,
    _bilevel,
    _png_with_text_chunk,
)

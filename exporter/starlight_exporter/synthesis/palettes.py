"""Conversion of RGB images to palette mode, in the ways that common encoders do it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from starlight_exporter.synthesis.random_choice import choose, choose_weighted

Rng = np.random.Generator
Bytes = NDArray[np.uint8]

SIZES = (2, 4, 8, 16, 32, 37, 64, 100, 128, 200, 255, 256, 256, 256, 256, 256)


def quantise_to_palette(rng: Rng, rgb: Bytes) -> tuple[Bytes, bytes]:
    """Return palette indices (H×W) and an RGB palette with an even number of entries: adaptive, web, exact or grey."""
    image = Image.fromarray(rgb)
    colours = choose(rng, SIZES)
    dither = rng.random() < 0.5
    style = choose_weighted(rng, (("grey", 0.22), ("web", 0.1), ("median", 0.39), ("coverage", 0.05), ("octree", 0.24)))
    exact = _exact(rgb) if style != "grey" and rng.random() < 0.5 else None
    if exact is not None:
        indices, palette = exact
    elif style == "grey":
        indices, palette = _grey(rng, image, colours)
    else:
        indices, palette = _quantised(image, style, colours, dither=dither)
    return _reordered(rng, indices, palette)


def _exact(rgb: Bytes) -> tuple[Bytes, Bytes] | None:
    """Return indices and palette without loss, or None if there are more than 256 colours."""
    packed = (rgb.astype(np.uint32) << np.array([16, 8, 0], dtype=np.uint32)).sum(axis=2, dtype=np.uint32)
    found, places = np.unique(packed, return_inverse=True)
    if found.size > 256:
        return None
    palette = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=-1).astype(np.uint8)
    return places.reshape(packed.shape).astype(np.uint8), palette


def _grey(rng: Rng, image: Image.Image, colours: int) -> tuple[Bytes, Bytes]:
    levels = max(colours, 4)
    ramp = np.rint(np.linspace(0, 255, levels)).astype(np.uint8)
    indices = (np.asarray(image.convert("L")).astype(np.uint16) * (levels - 1) // 255).astype(np.uint8)
    if rng.random() < 0.35:
        ramp, indices = ramp[::-1], np.uint8(levels - 1) - indices
    return indices, np.repeat(ramp[:, None], 3, axis=1)


def _quantised(image: Image.Image, style: str, colours: int, *, dither: bool) -> tuple[Bytes, Bytes]:
    spreading = Image.Dither.FLOYDSTEINBERG if dither else Image.Dither.NONE
    match style:
        case "web":
            indexed = image.convert("P", palette=Image.Palette.WEB, dither=spreading)
        case "octree":
            indexed = image.quantize(colours, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        case _:
            method = Image.Quantize.MEDIANCUT if style == "median" else Image.Quantize.MAXCOVERAGE
            indexed = image.quantize(colours, method=method)
            if dither:
                indexed = image.quantize(palette=indexed, dither=spreading)
    palette = np.frombuffer(bytes(indexed.getpalette("RGB") or ()), dtype=np.uint8).reshape(-1, 3)
    indices = np.asarray(indexed)
    return indices, palette[: int(indices.max()) + 1]


def _reordered(rng: Rng, indices: Bytes, palette: Bytes) -> tuple[Bytes, bytes]:
    """Order the palette as different encoders do: unchanged, by brightness, by frequency, or at random."""
    order = choose_weighted(rng, (("as_is", 0.5), ("brightness", 0.25), ("frequency", 0.12), ("none", 0.13)))
    if order != "as_is":
        key = palette.astype(np.int64) @ np.array([299, 587, 114])
        if order == "frequency":
            key = -np.bincount(indices.ravel(), minlength=len(palette))
        elif order == "none":
            key = rng.permutation(len(palette))
        ranks = np.argsort(key, kind="stable")
        places = np.empty(len(palette), dtype=np.uint8)
        places[ranks] = np.arange(len(palette), dtype=np.uint8)
        indices, palette = places[indices], palette[ranks]
    return indices, even_palette(palette)


def even_palette(palette: Bytes) -> bytes:
    """Return the palette (n×3) with an even number of entries, so that an index with a flipped LSB is still valid.

    One colour of a plain grey ramp is changed, because Pillow reads such BMP and GIF files as mode L, without indices.
    """
    if len(palette) % 2:
        palette = np.vstack([palette, palette[-1:]])
    if (palette == np.arange(len(palette), dtype=np.uint8)[:, None]).all() or _is_bilevel_ramp(palette):
        palette = palette.copy()
        palette[-1, 2] ^= 1
    return palette.tobytes()


def _is_bilevel_ramp(palette: Bytes) -> bool:
    return len(palette) == 2 and bool((palette == np.array([[0], [255]])).all())

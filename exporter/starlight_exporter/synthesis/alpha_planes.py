"""Alpha planes as found in benign files."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from starlight_exporter.synthesis.covers import gradient
from starlight_exporter.synthesis.photographs import eight_bits, texture
from starlight_exporter.synthesis.random_choice import choose_kind

Rng = np.random.Generator
Bytes = NDArray[np.uint8]


def alpha_plane(rng: Rng, rgb: Bytes) -> Bytes:
    """Return a random alpha plane (H×W) for an image (H×W×3): opaque, feathered, cut out, noisy or derived from it."""
    return choose_kind(rng, KINDS)(rng, rgb)


def _opaque(_: Rng, rgb: Bytes) -> Bytes:
    return np.full(rgb.shape[:2], 255, dtype=np.uint8)


def _uniform_level(rng: Rng, rgb: Bytes) -> Bytes:
    return np.full(rgb.shape[:2], int(rng.integers(1, 255)), dtype=np.uint8)


def _faded(rng: Rng, rgb: Bytes) -> Bytes:
    return gradient(rng, rgb.shape[1], rgb.shape[0])[..., 0]


def _nearly_opaque(rng: Rng, rgb: Bytes) -> Bytes:
    spread = np.float32(np.exp(rng.uniform(np.log(0.4), np.log(30))))
    return eight_bits(255 - np.abs(rng.standard_normal(rgb.shape[:2], dtype=np.float32)) * spread)


def _noisy(rng: Rng, rgb: Bytes) -> Bytes:
    low = int(rng.choice([0, 128, 192, 252, 254]))
    return rng.integers(low, 256, rgb.shape[:2], dtype=np.uint8)


def _brightness(_: Rng, rgb: Bytes) -> Bytes:
    return np.asarray(Image.fromarray(rgb).convert("L"))


def _cloudy(rng: Rng, rgb: Bytes) -> Bytes:
    field = texture(rng, rgb.shape[1], rgb.shape[0], float(rng.uniform(0.4, 0.9)))
    return eight_bits(150 + 70 * field)


def _feathered(rng: Rng, rgb: Bytes) -> Bytes:
    height, width, _ = rgb.shape
    xs = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    ys = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    radius = np.maximum(np.abs(xs), np.abs(ys)) if rng.random() < 0.4 else np.sqrt(xs**2 + ys**2)
    edge, softness = rng.uniform(0.5, 1.2), rng.uniform(0.05, 0.8)
    plane = np.clip((edge - radius) / softness + 0.5, 0, 1) * 255
    if rng.random() < 0.3:
        plane = plane + rng.normal(0, 1.5, plane.shape)
    return eight_bits(plane)


def _cut_out(rng: Rng, rgb: Bytes) -> Bytes:
    height, width, _ = rgb.shape
    mask = Image.new("L", (width, height), 0 if rng.random() < 0.5 else 255)
    draw = ImageDraw.Draw(mask)
    for _ in range(int(rng.integers(1, 6))):
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        box = (x, y, x + int(rng.integers(8, max(9, width))), y + int(rng.integers(8, max(9, height))))
        draw.ellipse(box, fill=int(rng.choice([0, 255, 255, 180])))
    if rng.random() < 0.6:
        mask = mask.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.5, 6))))
    return np.asarray(mask)


KINDS: dict[str, tuple[float, Callable[[Rng, Bytes], Bytes]]] = {
    "opaque": (0.24, _opaque),
    "uniform_level": (0.03, _uniform_level),
    "faded": (0.09, _faded),
    "feathered": (0.15, _feathered),
    "cut_out": (0.15, _cut_out),
    "nearly_opaque": (0.11, _nearly_opaque),
    "noisy": (0.09, _noisy),
    "brightness": (0.07, _brightness),
    "cloudy": (0.07, _cloudy),
}
"""Kind → share and generator."""

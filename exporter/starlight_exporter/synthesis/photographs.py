"""Simulated photographs: textured surfaces in linear light, a camera pipeline, then edits and recompression."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Rng = np.random.Generator
Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

NATURAL = (
    (0.25, 0.38, 0.62),  # sky
    (0.55, 0.60, 0.66),  # cloud
    (0.08, 0.14, 0.04),  # foliage
    (0.16, 0.22, 0.07),  # grass
    (0.18, 0.11, 0.06),  # earth
    (0.40, 0.31, 0.20),  # sand
    (0.22, 0.21, 0.20),  # stone
    (0.48, 0.28, 0.20),  # skin
    (0.05, 0.09, 0.12),  # water
    (0.01, 0.012, 0.02),  # night
    (0.30, 0.08, 0.06),  # brick
    (0.70, 0.68, 0.64),  # paint
)
"""Colours of natural surfaces in linear light."""


def eight_bits(levels: NDArray[np.floating[Any]]) -> Bytes:
    """Return levels rounded and clipped to 0..255."""
    return np.asarray(np.clip(np.rint(levels), 0, 255), dtype=np.uint8)


def photograph(rng: Rng, width: int, height: int) -> Bytes:
    """Return a simulated photograph (H×W×3): a lit scene, sensor, and often JPEG recompression."""
    light = _scene(rng, width, height)
    return _finish(rng, _camera(rng, light))


def smooth_field(rng: Rng, width: int, height: int, columns: int, rows: int) -> Floats:
    """Return a smooth random field (H×W) with unit variance at its `rows` × `columns` nodes."""
    return _enlarged(rng.standard_normal((max(rows, 2), max(columns, 2)), dtype=np.float32), width, height)


def texture(rng: Rng, width: int, height: int, roughness: float) -> Floats:
    """Return noise of several octaves (H×W) with a variance of about 1.

    The amplitude of each octave is `roughness` times that of the previous one (0 smooth, 1 rough).
    """
    stretch = float(np.exp(rng.normal(0.0, 0.4)))
    nodes = float(rng.integers(2, 5))
    field = np.zeros((2, 2), dtype=np.float32)
    amplitude, total = 1.0, 0.0
    # Each octave is added at its own resolution, so that only the last resize is at full resolution.
    while nodes < 0.7 * max(width, height):
        columns, rows = max(2, round(nodes * stretch)), max(2, round(nodes / stretch))
        noise = rng.standard_normal((rows, columns), dtype=np.float32)
        field = _enlarged(field, columns, rows) + np.float32(amplitude) * noise
        total += amplitude**2
        nodes *= 2.0
        amplitude *= roughness
    return _enlarged(field, width, height) / np.float32(np.sqrt(total))


def _enlarged(field: Floats, width: int, height: int) -> Floats:
    return np.asarray(Image.fromarray(field).resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)


def _scene(rng: Rng, width: int, height: int) -> Floats:
    ys = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None]
    xs = np.linspace(0.0, 1.0, width, dtype=np.float32)[None, :]
    scene = _surface(rng, width, height)
    for _ in range(int(rng.integers(0, 5))):
        mask = _mask(rng, xs, ys, width, height)[..., None]
        scene = scene * (1 - mask) + _surface(rng, width, height) * mask
    angle = rng.uniform(0, 2 * np.pi)
    slope = np.float32(np.cos(angle)) * (xs - 0.5) + np.float32(np.sin(angle)) * (ys - 0.5)
    scene *= (1 + np.float32(rng.uniform(0, 1.2)) * slope)[..., None]
    if rng.random() < 0.4:
        distance = (xs - 0.5) ** 2 + (ys - 0.5) ** 2
        scene *= (1 - np.float32(rng.uniform(0.2, 1.2)) * distance)[..., None]
    if rng.random() < 0.25:
        _add_strokes(rng, scene, width, height)
    scene = np.clip(scene, 0, None)
    # Exposure: mid-grey on average, within about one stop.
    exposure = np.float32(0.2 * np.exp(rng.normal(0.0, 0.6))) / (scene.mean() + np.float32(0.02))
    return np.asarray(scene * exposure, dtype=np.float32)


def _surface(rng: Rng, width: int, height: int) -> Floats:
    """Return one textured colour surface in linear light, about 0..1."""
    base = _natural_colour(rng)
    contrast = np.float32(rng.choice([0.02, 0.1, 0.25, 0.5]) * rng.uniform(0.5, 1.5))
    detail = texture(rng, width, height, float(rng.uniform(0.3, 0.95)))
    patches = _leaves(rng, width, height, base) if rng.random() < 0.35 else base
    surface = patches * (1 + contrast * detail[..., None])
    if rng.random() < 0.45:
        for channel in range(3):
            tint = smooth_field(rng, width, height, int(rng.integers(2, 8)), int(rng.integers(2, 8)))
            surface[..., channel] *= 1 + np.float32(rng.uniform(0, 0.25)) * tint
    if rng.random() < 0.15:
        period = rng.uniform(4, 60)
        angle = rng.uniform(0, np.pi)
        phase = np.arange(width)[None, :] * np.cos(angle) + np.arange(height)[:, None] * np.sin(angle)
        surface *= (1 + 0.3 * np.sin(2 * np.pi * phase / period))[..., None].astype(np.float32)
    return surface.astype(np.float32)


def _natural_colour(rng: Rng) -> Floats:
    colour = np.array(NATURAL[int(rng.integers(len(NATURAL)))]) * np.exp(rng.normal(0, 0.3, 3))
    if rng.random() < 0.25:
        colour = rng.uniform(0.02, 0.6, 3)
    return colour.astype(np.float32)


def _leaves(rng: Rng, width: int, height: int, base: Floats) -> Floats:
    """Return overlapping patches with power-law sizes: a dead leaves model, with the edge statistics of photographs."""
    spread = rng.uniform(0.1, 0.6)
    count = int(rng.integers(40, 400))
    radii = np.minimum(1.5 / (rng.random(count) + 0.01) ** rng.uniform(0.5, 1.0), max(width, height) / 3)
    if rng.random() < 0.5:
        radii = np.sort(radii)[::-1]
    places = rng.uniform(-0.05, 1.05, (count, 2)) * np.array([width, height])
    ratios = np.exp(rng.normal(0, 0.5, count))
    tones = base * np.exp(rng.normal(0, 0.4 * spread, (count, 3)) + rng.normal(0, spread, (count, 1)))
    colours = [(red, green, blue) for red, green, blue in eight_bits(tones * 255).tolist()]
    image = Image.new("RGB", (width, height), colours[0])
    draw = ImageDraw.Draw(image)
    ellipses = rng.random() < 0.6
    for (x, y), r, ratio, colour in zip(places.tolist(), radii.tolist(), ratios.tolist(), colours, strict=True):
        if ellipses:
            draw.ellipse((x - r * ratio, y - r / ratio, x + r * ratio, y + r / ratio), fill=colour)
        else:
            draw.polygon(((x - r * ratio, y), (x, y - r), (x + r, y - r * ratio), (x + r / ratio, y + r)), fill=colour)
    if rng.random() < 0.6:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.4, 1.5))))
    return np.asarray(image).astype(np.float32) / np.float32(255)


def _mask(rng: Rng, xs: Floats, ys: Floats, width: int, height: int) -> Floats:
    """Return a soft-edged mask in 0..1: below a horizon, an ellipse, a half-plane or a cloud."""
    style = rng.random()
    softness = np.float32(rng.choice([0.004, 0.01, 0.03, 0.1]))
    if style < 0.3:
        horizon = (
            np.float32(rng.uniform(0.2, 0.8))
            + np.float32(rng.uniform(0, 0.15)) * smooth_field(rng, width, 2, int(rng.integers(3, 40)), 2)[:1]
        )
        distance = ys - horizon
    elif style < 0.65:
        cx, cy = rng.uniform(0, 1, 2)
        rx, ry = rng.uniform(0.05, 0.5, 2)
        distance = 1 - np.sqrt(((xs - cx) / rx) ** 2 + ((ys - cy) / ry) ** 2)
    elif style < 0.8:
        angle = rng.uniform(0, 2 * np.pi)
        distance = np.cos(angle) * (xs - rng.uniform(0, 1)) + np.sin(angle) * (ys - rng.uniform(0, 1))
    else:
        distance = np.float32(0.3) * texture(rng, width, height, 0.6) - np.float32(rng.uniform(-0.2, 0.4))
    return np.clip(distance / softness + 0.5, 0, 1).astype(np.float32) * np.ones((height, width), dtype=np.float32)


def _add_strokes(rng: Rng, scene: Floats, width: int, height: int) -> None:
    """Branches, wires, stars: thin marks over a scene."""
    canvas = Image.new("L", (width, height))
    draw = ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(3, 60))):
        x, y = rng.integers(0, width), rng.integers(0, height)
        dx, dy = rng.normal(0, rng.choice([1.0, 30.0]), 2)
        tone, thickness = int(rng.integers(80, 256)), int(rng.integers(1, 3))
        draw.line((int(x), int(y), int(x + dx), int(y + dy)), fill=tone, width=thickness)
    marks = np.asarray(canvas, dtype=np.float32)[..., None] / np.float32(255)
    scene *= 1 - marks
    scene += marks * rng.uniform(0, 1, 3).astype(np.float32)


def _camera(rng: Rng, light: Floats) -> Bytes:
    """Simulate a camera: shot and read noise, demosaicing, tone curve, quantisation to eight bits."""
    height, width, _ = light.shape
    shot = np.float32(rng.choice([0.0, 0.004, 0.012, 0.03, 0.07]) * rng.uniform(0.5, 1.5))
    read = np.float32(rng.choice([0.0, 0.002, 0.006, 0.02]) * rng.uniform(0.5, 1.5))
    style = rng.random()
    if style < 0.55:
        mosaic = np.empty((height, width), dtype=np.float32)
        for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
            mosaic[row::2, column::2] = light[row::2, column::2, channel]
        noise = rng.standard_normal((height, width), dtype=np.float32)
        mosaic += noise * np.sqrt(shot**2 * np.clip(mosaic, 0, 2) + read**2)
        light = _demosaic(mosaic)
    elif style < 0.9:
        noise = rng.standard_normal(light.shape, dtype=np.float32)
        light = light + noise * np.sqrt(shot**2 * np.clip(light, 0, 2) + read**2)
    gamma = np.float32(1 / rng.uniform(1.6, 2.4))
    tones = np.clip(light, 0, 1) ** gamma
    if rng.random() < 0.5:
        strength = np.float32(rng.uniform(0, 1))
        tones = tones * (1 - strength) + strength * tones * tones * (3 - 2 * tones)
    if rng.random() < 0.12:
        tones = tones.mean(axis=2, keepdims=True) * np.ones(3, dtype=np.float32)
    levels = tones * np.float32(255)
    if rng.random() < 0.3:
        levels = levels + rng.random(levels.shape, dtype=np.float32) - np.float32(0.5)
    return eight_bits(levels)


def _demosaic(mosaic: Floats) -> Floats:
    """Interpolate an RGGB mosaic bilinearly, which correlates neighbouring pixels as in real photographs."""
    height, width = mosaic.shape
    out = np.empty((height, width, 3), dtype=np.float32)
    for channel, sites in enumerate((((0, 0),), ((0, 1), (1, 0)), ((1, 1),))):
        values = np.zeros((height + 2, width + 2), dtype=np.float32)
        for row, column in sites:
            values[1 + row : height + 1 : 2, 1 + column : width + 1 : 2] = mosaic[row::2, column::2]
        # The border is mirrored at two sites, so that edges do not darken.
        values[0], values[-1] = values[2], values[-3]
        values[:, 0], values[:, -1] = values[:, 2], values[:, -3]
        cross = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:]
        centre = values[1:-1, 1:-1]
        if channel == 1:
            out[..., 1] = centre + cross * np.float32(0.25)
        else:
            corners = values[:-2, :-2] + values[:-2, 2:] + values[2:, :-2] + values[2:, 2:]
            out[..., channel] = centre + cross * np.float32(0.5) + corners * np.float32(0.25)
    return out


def _finish(rng: Rng, rgb: Bytes) -> Bytes:
    """Apply later edits: blur, sharpening, JPEG recompression, resizing, another tone curve."""
    image = Image.fromarray(rgb)
    style = rng.random()
    if style < 0.15:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.4, 2.5))))
    elif style < 0.3:
        image = image.filter(ImageFilter.UnsharpMask(float(rng.uniform(0.6, 2)), int(rng.integers(40, 160)), 2))
    if rng.random() < 0.5:
        image = jpeg_recompressed(rng, image)
    if rng.random() < 0.15:
        width, height = image.size
        scale = float(rng.uniform(0.5, 0.95))
        part = image.resize((max(8, int(width * scale)), max(8, int(height * scale))), Image.Resampling.LANCZOS)
        image = part.resize((width, height), Image.Resampling.BICUBIC)
    if rng.random() < 0.12:
        low, high = int(rng.integers(0, 20)), int(rng.integers(220, 256))
        curve = np.clip((np.arange(256) - low) * 255 // (high - low), 0, 255)
        image = image.point([int(value) for value in curve] * 3)
    return np.asarray(image)


def jpeg_recompressed(rng: Rng, image: Image.Image) -> Image.Image:
    """Return the image after JPEG compression at a random quality from 50 to 97."""
    stored = io.BytesIO()
    image.save(stored, "JPEG", quality=int(rng.integers(50, 98)), subsampling=int(rng.choice([0, 2])))
    return Image.open(stored).convert("RGB")

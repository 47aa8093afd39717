"""Procedural cover images: photographs, letterboxed frames, drawings, screenshots, scans and gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from starlight_exporter.synthesis.photographs import eight_bits, jpeg_recompressed, photograph, texture
from starlight_exporter.synthesis.random_choice import choose, choose_kind

Rng = np.random.Generator
Bytes = NDArray[np.uint8]
Colour = tuple[int, int, int]

WORDS = (
    "File",
    "Edit",
    "View",
    "Help",
    "Open",
    "Save",
    "12:30",
    "Total",
    "48%",
    "Search",
    "Home",
    "Inbox",
    "Name",
    "OK",
)


def cover_image(rng: Rng, width: int, height: int) -> Bytes:
    """Return a random RGB cover (H×W×3) of a random kind."""
    return choose_kind(rng, KINDS)(rng, width, height)


def gradient(rng: Rng, width: int, height: int) -> Bytes:
    """Return a linear, radial or angular gradient, with or without dither."""
    xs = np.linspace(-1, 1, width, dtype=np.float32)[None, :] - np.float32(rng.uniform(-0.5, 0.5))
    ys = np.linspace(-1, 1, height, dtype=np.float32)[:, None] - np.float32(rng.uniform(-0.5, 0.5))
    style = rng.random()
    if style < 0.5:
        angle = rng.uniform(0, 2 * np.pi)
        place = (np.cos(angle) * xs + np.sin(angle) * ys) / 3 + 0.5
    elif style < 0.8:
        place = np.sqrt(xs**2 + ys**2) / 2
    else:
        place = np.arctan2(ys, xs + np.float32(1e-6)) / (2 * np.pi) + 0.5
    stops = rng.uniform(0, 255, (int(rng.integers(2, 5)), 3))
    positions = np.linspace(0, 1, len(stops))
    out = np.stack([np.interp(place, positions, stops[:, c]) for c in range(3)], axis=-1)
    if rng.random() < 0.5:
        out = out + rng.normal(0, rng.uniform(0.2, 3), out.shape)
    return eight_bits(out)


def drawing(rng: Rng, width: int, height: int) -> Bytes:
    """Return flat shapes, outlines and text on a plain background, with hard or smooth edges."""
    scale = 2 if rng.random() < 0.5 else 1
    w, h = width * scale, height * scale
    colours = [_colour(rng) for _ in range(int(rng.integers(2, 9)))]
    ground = (255, 255, 255) if rng.random() < 0.35 else colours[0]
    image = Image.new("RGB", (w, h), ground)
    canvas = _Canvas(ImageDraw.Draw(image), w, h, scale)
    for _ in range(int(rng.integers(2, 40))):
        _shape(rng, canvas, choose(rng, colours))
    if rng.random() < 0.4:
        _text_lines(rng, canvas, colours[-1], int(rng.integers(2, 14)))
    if scale == 2:
        image = image.resize((width, height), Image.Resampling.BOX)
    return _maybe_recompressed(rng, image, 0.25)


def screenshot(rng: Rng, width: int, height: int) -> Bytes:
    """Return a screenshot: panels, bars, lines of text, buttons, sometimes a photograph."""
    light = rng.random() < 0.65
    ground = int(rng.integers(225, 256)) if light else int(rng.integers(10, 50))
    ink = int(rng.integers(0, 70)) if light else int(rng.integers(190, 256))
    accent = _colour(rng)
    image = Image.new("RGB", (width, height), (ground,) * 3)
    draw = ImageDraw.Draw(image)
    bar = int(rng.integers(8, 26))
    draw.rectangle((0, 0, width, bar), fill=accent if rng.random() < 0.5 else (max(0, ground - 25),) * 3)
    if rng.random() < 0.6:
        side = int(rng.integers(width // 8 + 1, width // 3 + 2))
        draw.rectangle((0, bar, side, height), fill=(max(0, ground - 12),) * 3)
    for _ in range(int(rng.integers(1, 5))):
        x, y = int(rng.integers(0, width)), int(rng.integers(bar, height))
        box = (x, y, x + int(rng.integers(10, 90)), y + int(rng.integers(6, 30)))
        draw.rounded_rectangle(box, radius=int(rng.integers(0, 6)), fill=accent, outline=(ink,) * 3)
    _text_lines(rng, _Canvas(draw, width, height), (ink, ink, ink), int(rng.integers(4, 24)))
    if rng.random() < 0.4:
        w, h = int(rng.integers(16, max(17, width * 2 // 3))), int(rng.integers(16, max(17, height * 2 // 3)))
        image.paste(
            Image.fromarray(photograph(rng, w, h)), (int(rng.integers(0, width - 8)), int(rng.integers(0, height - 8)))
        )
    return _maybe_recompressed(rng, image, 0.2)


def letterboxed(rng: Rng, width: int, height: int) -> Bytes:
    """Return an image between bars of one colour, usually black, like a video frame with another aspect ratio."""
    out = np.zeros((height, width, 3), dtype=np.uint8)
    if rng.random() < 0.15:
        out[:] = _colour(rng)
    share = float(rng.uniform(0.5, 0.95))
    style = rng.random()
    w = max(8, round(width * share)) if style >= 0.6 else width
    h = max(8, round(height * share)) if style < 0.6 or style > 0.9 else height
    top = (height - h) // 2 if rng.random() < 0.8 else int(rng.integers(0, height - h + 1))
    left = (width - w) // 2
    generators = (photograph, photograph, photograph, photograph, drawing, screenshot)
    out[top : top + h, left : left + w] = choose(rng, generators)(rng, w, h)
    return _maybe_recompressed(rng, Image.fromarray(out), 0.35)


def scan(rng: Rng, width: int, height: int) -> Bytes:
    """Return a scan or plot: dark marks on white paper, or a thresholded texture."""
    if rng.random() < 0.5:
        field = texture(rng, width, height, float(rng.uniform(0.5, 0.95)))
        grey = np.where(field > rng.uniform(-0.7, 0.7), 255, 0).astype(np.uint8)
        image = Image.fromarray(grey)
        if rng.random() < 0.5:
            image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.4, 1.2))))
        return _maybe_recompressed(rng, image.convert("RGB"), 0.4)
    image = Image.new("RGB", (width, height), (255, 255, 255))
    canvas = _Canvas(ImageDraw.Draw(image), width, height)
    tone = int(rng.integers(0, 60))
    _text_lines(rng, canvas, (tone, tone, tone), int(rng.integers(6, 30)))
    for _ in range(int(rng.integers(0, 12))):
        _shape(rng, canvas, (0, 0, 0))
    paper = np.asarray(image).astype(np.float32)
    if rng.random() < 0.6:
        grain = rng.standard_normal(paper.shape, dtype=np.float32)
        paper = paper * np.float32(rng.uniform(0.85, 1)) + grain * np.float32(rng.uniform(0.3, 4))
    return _maybe_recompressed(rng, Image.fromarray(eight_bits(paper)), 0.4)


def _maybe_recompressed(rng: Rng, image: Image.Image, chance: float) -> Bytes:
    return np.asarray(jpeg_recompressed(rng, image) if rng.random() < chance else image)


def _colour(rng: Rng) -> Colour:
    red, green, blue = (int(value) for value in rng.integers(0, 256, 3))
    return (red, green, blue) if rng.random() < 0.8 else (red, red, red)


@dataclass(frozen=True, slots=True)
class _Canvas:
    """A drawing surface: its size in pixels, and its pixels per side of one output pixel."""

    draw: ImageDraw.ImageDraw
    width: int
    height: int
    scale: int = 1


def _shape(rng: Rng, canvas: _Canvas, colour: Colour) -> None:
    x, y = int(rng.integers(-10, canvas.width)), int(rng.integers(-10, canvas.height))
    box = (x, y, x + int(rng.integers(3, canvas.width // 2 + 4)), y + int(rng.integers(3, canvas.height // 2 + 4)))
    line = int(rng.integers(1, 4)) * canvas.scale
    style = rng.random()
    if style < 0.25:
        canvas.draw.ellipse(box, fill=colour)
    elif style < 0.45:
        canvas.draw.rectangle(box, fill=colour)
    elif style < 0.55:
        canvas.draw.ellipse(box, outline=colour, width=line)
    elif style < 0.8:
        steps = rng.normal(0, 14 * canvas.scale, (int(rng.integers(2, 14)), 2))
        points = np.cumsum(steps, axis=0) + np.array([x, y])
        canvas.draw.line([(float(px), float(py)) for px, py in points], fill=colour, width=line)
    else:
        corners = rng.uniform(0, 1, (int(rng.integers(3, 7)), 2)) * np.array([box[2] - x, box[3] - y])
        canvas.draw.polygon([(float(px) + x, float(py) + y) for px, py in corners], fill=colour)


def _text_lines(rng: Rng, canvas: _Canvas, colour: Colour, lines: int) -> None:
    """Render lines of text: words, or small strokes that resemble handwriting."""
    y = int(rng.integers(0, max(1, canvas.height // 3)))
    step = int(rng.integers(7, 14)) * canvas.scale
    left = int(rng.integers(2, max(3, canvas.width // 3)))
    letters = rng.random() < 0.6
    for _ in range(lines):
        if y > canvas.height:
            return
        if letters:
            words = rng.integers(0, len(WORDS), int(rng.integers(1, 7)))
            canvas.draw.text((left, y), " ".join(WORDS[i] for i in words), fill=colour)
        else:
            x = left
            marks = int(rng.integers(5, 40))
            rises = rng.integers(-1, 2, marks).tolist()
            for advance, rise in zip(rng.integers(2, 9, marks).tolist(), rises, strict=True):
                ends = (x, y + rise * step // 4, x + advance // 2, y + (1 - rise) * step // 3)
                canvas.draw.line(ends, fill=colour, width=canvas.scale)
                x += advance * canvas.scale
        y += step


KINDS: dict[str, tuple[float, Callable[[Rng, int, int], Bytes]]] = {
    "photograph": (0.40, photograph),
    "letterboxed": (0.26, letterboxed),
    "drawing": (0.10, drawing),
    "screenshot": (0.09, screenshot),
    "gradient": (0.07, gradient),
    "scan": (0.08, scan),
}
"""Kind → share and generator."""

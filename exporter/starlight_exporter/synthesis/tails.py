"""Tails: bytes after the end of an image, as found in benign files."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from starlight_exporter.synthesis.random_choice import choose, choose_kind, log_uniform

Rng = np.random.Generator

MIN_SIZE, MAX_SIZE = 120, 4500


def benign_tail(rng: Rng) -> bytes:
    """Return a random benign tail of at most 4,500 bytes: padding, binary data, a thumbnail, newlines or records."""
    return choose_kind(rng, KINDS)(rng)


def short_tail(rng: Rng) -> bytes:
    """Return a benign tail of at most 200 bytes, so that the detector also reads data after it."""
    return benign_tail(rng)[: int(rng.integers(4, 201))]


def _size(rng: Rng) -> int:
    return round(log_uniform(rng, MIN_SIZE, MAX_SIZE))


def _zeros(rng: Rng) -> bytes:
    return b"\x00" * _size(rng)


def _ones(rng: Rng) -> bytes:
    return b"\xff" * _size(rng)


def _binary(rng: Rng) -> bytes:
    return rng.bytes(_size(rng))


def _sparse_binary(rng: Rng) -> bytes:
    noise = rng.integers(0, 256, _size(rng), dtype=np.uint8)
    noise[rng.random(noise.size) < rng.uniform(0.3, 0.8)] = 0
    return noise.tobytes()


def _thumbnail(rng: Rng) -> bytes:
    side = int(rng.integers(16, 49))
    small = rng.integers(0, 256, (side // 4 + 1, side // 4 + 1, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC).save(out, "JPEG", quality=70)
    return out.getvalue() + (rng.bytes(int(rng.integers(0, 300))) if rng.random() < 0.5 else b"")


def _line_ends(rng: Rng) -> bytes:
    return choose(rng, (b"\n", b"\r\n", b"\x00", b"\x1a")) * int(rng.integers(1, 9))


def _structure(rng: Rng) -> bytes:
    """Return tagged records of small numbers, as appended by phones."""
    fields = rng.integers(0, 1 << int(rng.integers(8, 31)), int(rng.integers(8, 480)), dtype=np.uint32)
    return (
        choose(rng, (b"SEFH", b"QDIOBS", b"MotionPhoto", b"TRLR\x01", b"\x00\x00\x01\x0b")) + fields.tobytes() + b"SEFT"
    )


KINDS: dict[str, tuple[float, Callable[[Rng], bytes]]] = {
    "zeros": (0.20, _zeros),
    "ones": (0.07, _ones),
    "binary": (0.28, _binary),
    "sparse": (0.12, _sparse_binary),
    "thumbnail": (0.13, _thumbnail),
    "line_ends": (0.05, _line_ends),
    "structure": (0.15, _structure),
}
"""Kind → share and generator."""

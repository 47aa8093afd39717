"""Candidates of the recipe `adversarial`: clean files, hard negatives and stego files with small perturbations.

A candidate depends only on its kind and its number. `mined_seeds.json` lists the numbers that a search with a model has
selected (`training/mine_adversarial.py`), so that the same files are generated without the model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.detector.contract import METHODS, Method
from starlight_exporter.synthesis.carriers import (
    CLEAN_SHARES,
    STORAGES,
    Carrier,
    make_carrier,
    with_space_for_payload,
)
from starlight_exporter.synthesis.cover_sources import ProceduralCovers
from starlight_exporter.synthesis.embeddings import USER_COMMENT_PREFIX
from starlight_exporter.synthesis.exif import ExifFields
from starlight_exporter.synthesis.hiding import BITS_PER_PIXEL, Embedding, capacity, random_order
from starlight_exporter.synthesis.messages import Message, make_message
from starlight_exporter.synthesis.negatives import CATEGORIES, Negative, make_negative
from starlight_exporter.synthesis.random_choice import choose, choose_weighted, log_uniform
from starlight_exporter.synthesis.recipe import generator

Rng = np.random.Generator
Bytes = NDArray[np.uint8]

SEED: Final = 2026
COVERS: Final = ProceduralCovers()
MESSAGE_SIZES: Final = (200, 2500)
"""Bytes; of a size that is detected without perturbation."""
MAX_JUNK: Final = 512
_CLEAN, _NEGATIVE, _STEGO = 13, 14, 15


@dataclass(frozen=True, slots=True)
class StegoCandidate:
    """A cover, the embedding, and the message whose framing includes the perturbation."""

    cover: Carrier
    embedding: Embedding
    message: Message
    rng: Rng


def clean_candidate(number: int) -> Carrier:
    """Return clean file `number`: a cover with a random benign change that resembles an embedding."""
    rng = generator(SEED, _CLEAN, number)
    carrier = make_carrier(rng, choose_weighted(rng, CLEAN_SHARES), COVERS.cover(rng, number))
    return choose(rng, _CLEAN_CHANGES)(rng, carrier)


def negative_candidate(category: str, number: int) -> Negative:
    """Return hard negative `number` of a category."""
    rng = generator(SEED, _NEGATIVE, CATEGORIES.index(category), number)
    return make_negative(rng, category, number, COVERS.cover(rng, number))


def stego_candidate(method: Method, number: int) -> StegoCandidate:
    """Return stego file `number` of a method: a readable text after a small perturbation of cover or message."""
    rng = generator(SEED, _STEGO, METHODS.index(method), number)
    carrier = make_carrier(rng, choose_weighted(rng, STORAGES[method]), COVERS.cover(rng, number))
    carrier = with_space_for_payload(rng, method, carrier)
    low, high = MESSAGE_SIZES
    if method in BITS_PER_PIXEL:
        high = max(low, min(4 * high, capacity(method, carrier) // 2 - 2 * MAX_JUNK))
    largest = (capacity(method, carrier) - 2 * MAX_JUNK) // 2
    message = make_message(rng, "text", min(round(log_uniform(rng, low, high)), max(8, largest)), "zero")
    if rng.random() < 0.5:
        carrier = _noisy(rng, carrier, step=2)
    perturbed = choose(rng, _MESSAGE_CHANGES)(rng, message.framed)
    if len(perturbed) > capacity(method, carrier):
        perturbed = message.framed
    embedding = Embedding(method, random_order(rng, method), prefixed=bool(rng.random() < 0.5))
    return StegoCandidate(carrier, embedding, replace(message, framed=perturbed), rng)


def _unchanged(_: Rng, carrier: Carrier) -> Carrier:
    return carrier


def _weak_noise(rng: Rng, carrier: Carrier) -> Carrier:
    return _noisy(rng, carrier, step=1)


def _noisy(rng: Rng, carrier: Carrier, *, step: int) -> Carrier:
    """Change a random share of the values by ±`step`; palette indices are not changed."""
    if carrier.storage.mode == "P":
        return carrier
    share = log_uniform(rng, 0.01, 0.5)
    steps = rng.choice(
        np.array([-step, 0, step], dtype=np.int16), carrier.pixels.shape, p=[share / 2, 1 - share, share / 2]
    )
    changed = carrier.pixels.astype(np.int16) + steps
    # Clipping would change the least significant bits.
    changed = np.where((changed < 0) | (changed > 255), carrier.pixels, changed)
    return carrier.with_pixels(changed.astype(np.uint8))


def _periodic_bits(rng: Rng, carrier: Carrier) -> Carrier:
    """Repeat random bits in the LSBs, with a period of whole bytes, as watermarks of devices and dithering do."""
    if carrier.storage.mode == "P":
        return carrier
    values = carrier.pixels.reshape(-1)
    used = int(values.size * rng.uniform(0.05, 1.0))
    period = 8 * int(rng.integers(1, 33))
    bits = np.resize(rng.integers(0, 2, period, dtype=np.uint8), used)
    changed = values.copy()
    changed[:used] = (changed[:used] & 0xFE) | bits
    return carrier.with_pixels(changed.reshape(carrier.pixels.shape))


def _records_after_end(rng: Rng, carrier: Carrier) -> Carrier:
    """Append records of numbers with short keys, as devices write them."""
    if carrier.storage.file_format == "bmp":
        return carrier
    return carrier.with_tail(_records(rng))


def _records_in_comment(rng: Rng, carrier: Carrier) -> Carrier:
    """Set UserComment to records of numbers with short keys, as camera applications write them."""
    if carrier.storage.file_format not in ("jpeg", "png", "webp"):
        return carrier
    fields = carrier.exif or ExifFields({}, {}, {}, little=bool(rng.random() < 0.5))
    return carrier.with_exif(fields.with_user_comment(USER_COMMENT_PREFIX + _records(rng)))


def _records(rng: Rng) -> bytes:
    keys = ("iso", "ev", "awb", "af", "t", "gain", "lux", "mode", "hdr", "sz")
    count = int(rng.integers(3, 60))
    between = choose(rng, (b"; ", b",", b"\x00", b"\n", b"\x00\x00"))
    return between.join(f"{choose(rng, keys)}={rng.integers(0, 4096)}".encode() for _ in range(count))


_CLEAN_CHANGES: Final[tuple[Callable[[Rng, Carrier], Carrier], ...]] = (
    _unchanged,
    _weak_noise,
    _periodic_bits,
    _records_after_end,
    _records_in_comment,
)


def _same(_: Rng, message: bytes) -> bytes:
    return message


def _after_junk(rng: Rng, message: bytes) -> bytes:
    return rng.bytes(round(log_uniform(rng, 4, MAX_JUNK))) + message


def _after_zeros(rng: Rng, message: bytes) -> bytes:
    return b"\x00" * round(log_uniform(rng, 4, MAX_JUNK)) + message


def _wide(_: Rng, message: bytes) -> bytes:
    """Return the text in UTF-16, which readers of EXIF expect after another prefix."""
    return message.decode("utf-8", "ignore").encode("utf-16-le")[: 2 * len(message)]


def _masked(rng: Rng, message: bytes) -> bytes:
    """Return the message combined with one random byte by XOR, as simple tools obscure it."""
    return (np.frombuffer(message, dtype=np.uint8) ^ np.uint8(rng.integers(1, 256))).tobytes()


def _with_gaps(rng: Rng, message: bytes) -> bytes:
    """Replace a random share of the bytes by random ones, as a lossy transmission does."""
    out = np.frombuffer(message, dtype=np.uint8).copy()
    lost = rng.random(out.size) < rng.uniform(0.05, 0.5)
    out[lost] = rng.integers(0, 256, int(lost.sum()), dtype=np.uint8)
    return out.tobytes()


_MESSAGE_CHANGES: Final[tuple[Callable[[Rng, bytes], bytes], ...]] = (
    _same,
    _after_junk,
    _after_zeros,
    _wide,
    _masked,
    _with_gaps,
)

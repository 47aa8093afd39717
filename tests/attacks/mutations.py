"""Seeded mutations of image files, with knowledge of their structure."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence
from typing import Final

from attacks.containers import structure

LARGEST: Final = 300_000
"""Bytes of a mutated file, so that thousands of them fit on the disk."""

EXTREMES: Final = (0, 1, 2, 255, 256, 2**14, 2**15 - 1, 2**15, 2**16 - 1, 2**16, 2**24, 2**30, 2**31 - 1, 2**31, -1)
SUFFIXES: Final = ("png", "jpg", "jpeg", "gif", "webp", "bmp", "tif", "tiff", "avif", "jp2", "mpo", "ico", "eps", "bin")

Mutation = Callable[[random.Random, bytearray, Sequence[bytes]], None]


def mutate(rng: random.Random, originals: Sequence[bytes]) -> bytes:
    """Return one of the originals after one to four random mutations."""
    data = bytearray(rng.choice(originals))
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        rng.choice(_MUTATIONS)(rng, data, originals)
        del data[LARGEST:]
    if data.startswith(b"\x89PNG") and rng.random() < 0.7:
        _correct_checksums(data)
    return bytes(data)


def _flip_bits(rng: random.Random, data: bytearray, _originals: Sequence[bytes]) -> None:
    reach = rng.choice((64, 512, len(data)))
    for _ in range(rng.choice((1, 1, 4, 64))):
        if data:
            data[rng.randrange(min(reach, len(data)))] ^= 1 << rng.randrange(8)


def _truncate(rng: random.Random, data: bytearray, _originals: Sequence[bytes]) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _zero_tail(rng: random.Random, data: bytearray, _originals: Sequence[bytes]) -> None:
    start = rng.randrange(len(data) + 1)
    data[start:] = bytes(len(data) - start)


def _splice(rng: random.Random, data: bytearray, originals: Sequence[bytes]) -> None:
    other = rng.choice(originals)
    at, start = rng.randrange(len(data) + 1), rng.randrange(len(other))
    replaced = rng.choice((0, rng.randrange(2000)))
    data[at : at + replaced] = other[start : start + rng.randrange(1, 4000)]


def _append_image(rng: random.Random, data: bytearray, originals: Sequence[bytes]) -> None:
    data.extend(rng.choice(originals))


def _change_signature(rng: random.Random, data: bytearray, originals: Sequence[bytes]) -> None:
    size = rng.choice((2, 4, 12))
    data[:size] = rng.choice(originals)[:size]


def _set_numbers(rng: random.Random, data: bytearray, _originals: Sequence[bytes]) -> None:
    numbers = structure(bytes(data)).numbers
    for _ in range(rng.choice((1, 1, 2, 4))):
        if numbers:
            rng.choice(numbers).write(data, rng.choice(EXTREMES))


def _set_length(rng: random.Random, data: bytearray, _originals: Sequence[bytes]) -> None:
    parts = structure(bytes(data)).parts
    if parts:
        part = rng.choice(parts)
        part.length.write(data, rng.choice((*EXTREMES, part.end - part.start - 1, part.end - part.start + 1)))


def _repeat_part(rng: random.Random, data: bytearray, _originals: Sequence[bytes]) -> None:
    parts = structure(bytes(data)).parts
    if parts:
        part = rng.choice(parts)
        data[part.end : part.end] = bytes(data[part.start : part.end]) * rng.choice((1, 2, 10, 1000))
        del data[LARGEST:]


def _drop_part(rng: random.Random, data: bytearray, _originals: Sequence[bytes]) -> None:
    parts = structure(bytes(data)).parts
    if parts:
        part = rng.choice(parts)
        del data[part.start : part.end]


def _move_part(rng: random.Random, data: bytearray, _originals: Sequence[bytes]) -> None:
    parts = structure(bytes(data)).parts
    if parts:
        part, before = rng.choice(parts), rng.choice(parts)
        moved = bytes(data[part.start : part.end])
        data[before.start : before.start] = moved


def _nest(rng: random.Random, data: bytearray, originals: Sequence[bytes]) -> None:
    parts = structure(bytes(data)).parts
    if parts:
        part = rng.choice(parts)
        data[part.end : part.end] = rng.choice((bytes(data), rng.choice(originals)))


def _fill(rng: random.Random, data: bytearray, _originals: Sequence[bytes]) -> None:
    at, size = rng.randrange(len(data) + 1), rng.randrange(1, 200)
    data[at : at + size] = rng.choice((b"\0", b"\xff", b"\x80", b";")) * size


_MUTATIONS: Final[tuple[Mutation, ...]] = (
    *(_flip_bits, _truncate, _zero_tail, _splice, _append_image, _change_signature, _fill),
    # These reach deeper into a decoder.
    *(_set_numbers, _set_length, _repeat_part, _drop_part, _move_part, _nest) * 2,
)


def _correct_checksums(data: bytearray) -> None:
    """Correct the checksums of a PNG, so that its chunks are read although they were changed."""
    for part in structure(bytes(data)).parts:
        if part.end - part.start >= 12:
            data[part.end - 4 : part.end] = zlib.crc32(data[part.start + 4 : part.end - 4]).to_bytes(4, "big")

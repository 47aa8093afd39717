"""The five embedding methods, bit-exact. A payload is UTF-8 text followed by one zero byte."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

BitOrder = Literal["lsb-first", "msb-first"]
Bytes = NDArray[np.uint8]

ALPHA_PREFIX = b"AI42"
USER_COMMENT_PREFIX = b"ASCII\x00\x00\x00"


def payload_bits(message: bytes, order: BitOrder) -> Bytes:
    """Return the bits of `message` in embedding order, one per element."""
    raw = np.frombuffer(message, dtype=np.uint8)
    return np.unpackbits(raw, bitorder="little" if order == "lsb-first" else "big")


def embed_bits(plane: Bytes, message: bytes, order: BitOrder) -> Bytes:
    """Return a copy of `plane` (any shape) with the bits of `message` in the LSBs of its first elements, row-major.

    Raise ValueError if the plane has fewer elements than the message has bits.
    """
    bits = payload_bits(message, order)
    flat = plane.reshape(-1).copy()
    if bits.size > flat.size:
        raise ValueError(f"payload of {bits.size} bits does not fit into {flat.size}")
    flat[: bits.size] = (flat[: bits.size] & 0xFE) | bits
    return flat.reshape(plane.shape)


def embed_bits_by_matching(plane: Bytes, message: bytes, order: BitOrder, rng: np.random.Generator) -> Bytes:
    """Return a copy of `plane` like `embed_bits`, but change a value by ±1 at random if its LSB differs from the bit.

    0 becomes 1 and 255 becomes 254. Source: Sharp, An implementation of key-based digital signal steganography (2001).
    Raise ValueError if the message does not fit.
    """
    replaced = embed_bits(plane, message, order).reshape(-1)
    flat = plane.reshape(-1).astype(np.int16)
    places = np.flatnonzero(replaced != flat)
    steps = rng.choice(np.array([-1, 1], dtype=np.int16), places.size)
    steps[flat[places] == 0] = 1
    steps[flat[places] == 255] = -1
    flat[places] += steps
    return flat.astype(np.uint8).reshape(plane.shape)


def embed_bits_scattered(plane: Bytes, message: bytes, order: BitOrder, rng: np.random.Generator) -> Bytes:
    """Return a copy of `plane` with the bits in the LSBs of distinct random elements, as tools with a key choose them.

    Raise ValueError if the message does not fit.
    """
    places = rng.permutation(plane.size)
    flat = plane.reshape(-1)
    out = flat.copy()
    out[places] = embed_bits(flat[places], message, order)
    return out.reshape(plane.shape)


def embed_alpha(alpha: Bytes, text: bytes) -> Bytes:
    """Method `alpha`: embed AI42, the text and a zero byte in the LSBs of the alpha plane (H×W), LSB first."""
    return embed_bits(alpha, ALPHA_PREFIX + text + b"\x00", "lsb-first")


def embed_palette(indices: Bytes, text: bytes, order: BitOrder) -> Bytes:
    """Method `palette`: embed the text and a zero byte in the LSBs of the palette indices (H×W)."""
    return embed_bits(indices, text + b"\x00", order)


def embed_lsb(rgb: Bytes, text: bytes, order: BitOrder) -> Bytes:
    """Method `lsb`: embed the text and a zero byte in the LSBs of R, G, B, R, G, B … (H×W×3), row-major."""
    return embed_bits(rgb, text + b"\x00", order)


def user_comment(text: bytes, *, prefixed: bool) -> bytes:
    """Method `exif`: return the value of EXIF UserComment, with or without the eight-byte character code."""
    return (USER_COMMENT_PREFIX if prefixed else b"") + text + b"\x00"


def embed_eoi(data: bytes, text: bytes) -> bytes:
    """Method `eoi`: append the text and a zero byte to an image file of any format."""
    return data + text + b"\x00"

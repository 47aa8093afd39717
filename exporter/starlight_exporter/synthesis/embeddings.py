"""The five embeddings, bit-exact: a payload is UTF-8 text ended by one zero byte."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

BitOrder = Literal["lsb-first", "msb-first"]
Bytes = NDArray[np.uint8]

ALPHA_PREFIX = b"AI42"
USER_COMMENT_PREFIX = b"ASCII\x00\x00\x00"


def payload_bits(message: bytes, order: BitOrder) -> Bytes:
    """The bits of `message`, one per element, in embedding order."""
    raw = np.frombuffer(message, dtype=np.uint8)
    return np.unpackbits(raw, bitorder="little" if order == "lsb-first" else "big")


def embed_bits(plane: Bytes, message: bytes, order: BitOrder) -> Bytes:
    """A copy of `plane` (any shape) whose first elements in row-major order hold the bits of `message` in their LSB.

    Raises ValueError where the message needs more elements than there are.
    """
    bits = payload_bits(message, order)
    flat = plane.reshape(-1).copy()
    if bits.size > flat.size:
        raise ValueError(f"payload of {bits.size} bits does not fit into {flat.size}")
    flat[: bits.size] = (flat[: bits.size] & 0xFE) | bits
    return flat.reshape(plane.shape)


def embed_alpha(alpha: Bytes, text: bytes) -> Bytes:
    """Method `alpha`: AI42, text and a zero byte into the LSB of the alpha plane (H×W), least significant bit first."""
    return embed_bits(alpha, ALPHA_PREFIX + text + b"\x00", "lsb-first")


def embed_palette(indices: Bytes, text: bytes, order: BitOrder) -> Bytes:
    """Method `palette`: text and a zero byte into the LSB of the palette indices (H×W)."""
    return embed_bits(indices, text + b"\x00", order)


def embed_lsb(rgb: Bytes, text: bytes, order: BitOrder) -> Bytes:
    """Method `lsb`: text and a zero byte into the LSBs of R, G, B, R, G, B … (H×W×3), row-major."""
    return embed_bits(rgb, text + b"\x00", order)


def user_comment(text: bytes, *, prefixed: bool) -> bytes:
    """Method `exif`: the value of EXIF UserComment, usually with the eight-byte character code in front."""
    return (USER_COMMENT_PREFIX if prefixed else b"") + text + b"\x00"


def embed_eoi(data: bytes, text: bytes) -> bytes:
    """Method `eoi`: text and a zero byte after the last byte of an image file of any format."""
    return data + text + b"\x00"

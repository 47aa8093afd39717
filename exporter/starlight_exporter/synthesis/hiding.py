"""Hide a message in a carrier by any of the five methods, and label the result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.detector.contract import CROP, Method
from starlight_exporter.synthesis.carriers import Carrier, encode, extension
from starlight_exporter.synthesis.embeddings import (
    ALPHA_PREFIX,
    USER_COMMENT_PREFIX,
    BitOrder,
    embed_bits,
    embed_bits_by_matching,
    embed_bits_scattered,
)
from starlight_exporter.synthesis.exif import ExifFields
from starlight_exporter.synthesis.messages import Message
from starlight_exporter.synthesis.sidecars import embedding_labels, write_labelled

Rng = np.random.Generator
Bytes = NDArray[np.uint8]
Operation = Literal["replacement", "matching"]
Placement = Literal["sequential", "scattered"]

BITS_PER_PIXEL: Final[dict[Method, int]] = {"alpha": 1, "palette": 1, "lsb": 3}
"""Of the methods that change pixels."""
MAX_EXIF_MESSAGE: Final = 60_000
"""A JPEG segment has at most 65,533 bytes, which the other EXIF fields share."""
MAX_TAIL_MESSAGE: Final = 65_536


@dataclass(frozen=True, slots=True)
class Embedding:
    """How a message is hidden. `order`, `operation` and `placement` apply to pixels, `prefixed` to alpha and exif.

    `operation` is LSB replacement or ±1 (LSB matching); scattered bits are always replaced.
    """

    method: Method
    order: BitOrder = "lsb-first"
    operation: Operation = "replacement"
    placement: Placement = "sequential"
    prefixed: bool = False


def random_order(rng: Rng, method: Method) -> BitOrder:
    """Return a random bit order; alpha is always LSB first."""
    return "msb-first" if method in ("palette", "lsb") and rng.random() < 0.5 else "lsb-first"


def capacity(method: Method, carrier: Carrier) -> int:
    """Return the bytes of a framed message that the method can hide in the carrier."""
    if method == "exif":
        return MAX_EXIF_MESSAGE
    if method == "eoi":
        return MAX_TAIL_MESSAGE
    height, width = carrier.pixels.shape[:2]
    return int(height * width) * BITS_PER_PIXEL[method] // 8


def hide(rng: Rng, carrier: Carrier, embedding: Embedding, message: bytes) -> bytes:
    """Return the bytes of the stego file. Raise ValueError if the message does not fit."""
    pixels = carrier.pixels
    match embedding.method:
        case "alpha":
            data = ALPHA_PREFIX + message if embedding.prefixed else message
            plane = _embedded(rng, pixels[..., 3], embedding, data)
            return encode(carrier.with_pixels(np.dstack([pixels[..., :3], plane])))
        case "palette":
            return encode(carrier.with_pixels(_embedded(rng, pixels, embedding, message)))
        case "lsb":
            rgb = _embedded(rng, pixels[..., :3], embedding, message)
            return encode(carrier.with_pixels(np.dstack([rgb, pixels[..., 3:]])))
        case "exif":
            fields = carrier.exif or ExifFields({}, {}, {}, little=True)
            comment = (USER_COMMENT_PREFIX if embedding.prefixed else b"") + message
            return encode(carrier.with_exif(fields.with_user_comment(comment)))
        case "eoi":
            return encode(carrier) + message


def _embedded(rng: Rng, plane: Bytes, embedding: Embedding, message: bytes) -> Bytes:
    if embedding.placement == "scattered":
        return embed_bits_scattered(plane, message, embedding.order, rng)
    if embedding.operation == "matching":
        return embed_bits_by_matching(plane, message, embedding.order, rng)
    return embed_bits(plane, message, embedding.order)


def reaches_crop(embedding: Embedding, message_bytes: int, width: int, height: int) -> bool | None:
    """Return whether a message of this size reaches a pixel of the centre crop; None for metadata.

    Scattered bits do: all of them miss the crop of a 512×512 image with a probability below 1e-7.
    """
    if embedding.method not in BITS_PER_PIXEL:
        return None
    if embedding.placement == "scattered":
        return True
    pixels = -(-message_bytes * 8 // BITS_PER_PIXEL[embedding.method])
    # Python rounds half to even, as the detector does.
    top, left = (round((side - CROP) / 2) if side > CROP else 0 for side in (height, width))
    return pixels > top * width + left


@dataclass(frozen=True, slots=True)
class Cover:
    """An unmodified carrier, the source of its pixels, and its number in the dataset."""

    carrier: Carrier
    source: str
    number: int

    @property
    def name(self) -> str:
        """Return the path below `clean/`."""
        return f"{self.source}/cover-{self.number:04d}.{extension(self.carrier)}"


def write_cover(cover: Cover, root: Path) -> None:
    """Write a cover as a clean file."""
    (root / "clean" / cover.name).write_bytes(encode(cover.carrier))


def write_stego(rng: Rng, cover: Cover, embedding: Embedding, message: Message, *, number: int, root: Path) -> None:
    """Hide a message in a cover, and write the stego file with its sidecar."""
    method = embedding.method
    height, width = cover.carrier.pixels.shape[:2]
    prefix = len(ALPHA_PREFIX) if method == "alpha" and embedding.prefixed else 0
    labels = {
        "embedding": {
            **embedding_labels(method, embedding.order, ai42=prefix > 0),
            "operation": embedding.operation if method in BITS_PER_PIXEL else None,
            "placement": embedding.placement if method in BITS_PER_PIXEL else None,
            "framing": message.framing,
        },
        "clean_file": cover.name,
        "source": cover.source,
        "payload_bytes": len(message.content),
    }
    reached = reaches_crop(embedding, prefix + len(message.framed), width, height)
    if reached is not None:
        labels["reaches_crop"] = reached
    data = hide(rng, cover.carrier, embedding, message.framed)
    name = f"{message.kind}_{method}_{number:04d}.{extension(cover.carrier)}"
    write_labelled(root / "stego" / name, data, labels)

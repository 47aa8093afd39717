"""Messages: a content (text, random bytes, compressed text) in one of the framings that common tools use.

A framing makes the end of a message known to its reader: a terminator, a delimiter, or a length before it. Binary
contents need a length, because they can contain every terminator.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np

from starlight_exporter.synthesis.payloads import make_payload
from starlight_exporter.synthesis.random_choice import choose

Rng = np.random.Generator

Content = Literal["text", "random", "compressed"]
CONTENTS: Final[tuple[Content, ...]] = get_args(Content)
Framing = Literal[
    "zero",
    "marker",
    "hashes",
    "length_32_big",
    "length_32_little",
    "length_decimal",
    "container",
]

MIN_COMPRESSED: Final = 32
"""Bytes below which compression makes a text longer."""
_MARKER: Final = b"\xff\xfe"
_DELIMITER: Final = b"#####"
_SIGNATURE: Final = b"\x89HID\x01"


@dataclass(frozen=True, slots=True)
class Message:
    """What is hidden: `content` in bytes, and `framed`, the same with its framing. `kind` is the kind of content."""

    kind: str
    content: bytes
    framing: Framing
    framed: bytes


def make_message(rng: Rng, content: Content, size: int, framing: Framing | None = None) -> Message:
    """Return a random message with a content of at most `size` bytes: a text can be up to 3 bytes shorter, a compressed
    one more; a compressed content of less than MIN_COMPRESSED bytes is random.

    Without `framing`, a random one that suits the content.
    """
    kind, data = _content(rng, content, size)
    suitable = _TEXT_FRAMINGS if content == "text" else _BINARY_FRAMINGS
    chosen: Framing = choose(rng, suitable) if framing is None else framing
    return Message(kind, data, chosen, framed(chosen, data))


def framed(framing: Framing, content: bytes) -> bytes:
    """Return the content with its framing."""
    return _FRAMINGS[framing](content)


def content_size(framing: Framing, capacity: int) -> int:
    """Return the size of the largest content that has at most `capacity` bytes with its framing; 0 if there is none."""
    size = capacity - len(framed(framing, b""))
    while size > 0 and len(framed(framing, b"\x00" * size)) > capacity:
        size -= 1
    return max(0, size)


def _content(rng: Rng, content: Content, size: int) -> tuple[str, bytes]:
    if content == "text":
        payload = make_payload(rng, size)
        return payload.kind, payload.text
    if content == "random" or size < MIN_COMPRESSED:
        return "random", rng.bytes(size)
    return _compressed(rng, size)


def _compressed(rng: Rng, size: int) -> tuple[str, bytes]:
    kind = choose(rng, tuple(_COMPRESSIONS))
    compress = _COMPRESSIONS[kind]
    text = make_payload(rng, 4 * size).text
    while len(compress(text)) <= size:
        text += make_payload(rng, len(text)).text
    low, high = 0, len(text)
    # The longest beginning of the text that fits after compression.
    while low < high:
        middle = (low + high + 1) // 2
        if len(compress(text[:middle])) <= size:
            low = middle
        else:
            high = middle - 1
    return kind, compress(text[:low])


def _gzip(text: bytes) -> bytes:
    return gzip.compress(text, mtime=0)


_COMPRESSIONS: Final[dict[str, Callable[[bytes], bytes]]] = {"deflate": zlib.compress, "gzip": _gzip}
_FRAMINGS: Final[dict[Framing, Callable[[bytes], bytes]]] = {
    "zero": lambda content: content + b"\x00",
    # Two bytes that no UTF-8 text contains.
    "marker": lambda content: content + _MARKER,
    "hashes": lambda content: content + _DELIMITER,
    "length_32_big": lambda content: struct.pack(">I", len(content)) + content,
    "length_32_little": lambda content: struct.pack("<I", len(content)) + content,
    "length_decimal": lambda content: f"{len(content)}:".encode() + content,
    # A signature with a version, the length, the content and a checksum.
    "container": lambda content: (
        _SIGNATURE + struct.pack(">I", len(content)) + content + struct.pack(">I", zlib.crc32(content))
    ),
}
_TEXT_FRAMINGS: Final[tuple[Framing, ...]] = ("zero", "zero", "zero", *_FRAMINGS)
_BINARY_FRAMINGS: Final[tuple[Framing, ...]] = ("length_32_big", "length_32_little", "length_decimal", "container")

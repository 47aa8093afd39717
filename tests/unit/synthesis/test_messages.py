"""Messages end where their framing says, and have the requested size."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from starlight_exporter.synthesis.messages import CONTENTS, Content, Framing, content_size, framed, make_message

FRAMINGS: tuple[Framing, ...] = get_args(Framing)


def read_length(layout: str, stored: bytes) -> bytes:
    (length,) = struct.unpack(layout, stored[:4])
    return stored[4 : 4 + length]


def read_decimal(stored: bytes) -> bytes:
    length, _, rest = stored.partition(b":")
    return rest[: int(length)]


def read_container(stored: bytes) -> bytes:
    content = read_length(">I", stored[5:])
    assert stored[9 + len(content) :][:4] == struct.pack(">I", zlib.crc32(content))
    return content


READERS: dict[Framing, Callable[[bytes], bytes]] = {
    "zero": lambda stored: stored[: stored.index(b"\x00")],
    "marker": lambda stored: stored[: stored.index(b"\xff\xfe")],
    "hashes": lambda stored: stored[: stored.index(b"#####")],
    "length_32_big": lambda stored: read_length(">I", stored),
    "length_32_little": lambda stored: read_length("<I", stored),
    "length_decimal": read_decimal,
    "container": read_container,
}
"""Each reads a message that is followed by other data, as the tool at the other end does."""


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("size", [8, 31, 32, 100, 1000, 5000])
def test_message_ends_where_its_framing_says(content: Content, size: int) -> None:
    rng = np.random.default_rng((CONTENTS.index(content), size))
    seen = set()
    for _ in range(20):
        message = make_message(rng, content, size)
        seen.add(message.framing)
        assert READERS[message.framing](message.framed + rng.bytes(40)) == message.content
        assert len(message.content) <= size
        if content != "compressed":
            assert len(message.content) >= size - 3
    assert len(seen) > 2


@given(st.sampled_from(FRAMINGS), st.integers(0, 3000))
def test_largest_content_fills_the_capacity(framing: Framing, capacity: int) -> None:
    size = content_size(framing, capacity)
    if size:
        assert len(framed(framing, b"a" * size)) <= capacity
    assert len(framed(framing, b"a" * (size + 1))) > capacity


def test_compressed_content_is_the_longest_text_that_fits() -> None:
    rng = np.random.default_rng(4)
    kinds = set()
    for size in (64, 500, 3000):
        for _ in range(6):
            message = make_message(rng, "compressed", size)
            kinds.add(message.kind)
            text = zlib.decompress(message.content) if message.kind == "deflate" else gzip.decompress(message.content)
            assert len(text) > len(message.content) - 24
            assert size - 12 <= len(message.content) <= size
    assert kinds == {"deflate", "gzip"}

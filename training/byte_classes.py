"""Fixed classes of bytes, chosen to separate text from noise."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import torch
from torch import Tensor

NO_BYTE: Final = 256
"""Index of the all-zero last row of the tables, for missing bytes and bytes with unknown bits."""

_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyz")
_VOWELS = frozenset(b"aeiou")
_COMMON = frozenset(b"tnshrdlcm")
_DIGITS = frozenset(b"0123456789")
_CAPITALS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_WHITESPACE = frozenset(b"\t\n\r")
_PUNCTUATION = frozenset(b".,-':;()?!\"")
_OTHER_SYMBOLS = frozenset(range(33, 127)) - _LETTERS - _CAPITALS - _DIGITS - _PUNCTUATION
_CONTINUATION = frozenset(range(0x80, 0xC0))

CLASSES: Final[tuple[Collection[int], ...]] = (
    {0},
    frozenset(range(1, 32)) - _WHITESPACE | {127},
    _WHITESPACE,
    {32},
    _DIGITS,
    _CAPITALS,
    _VOWELS,
    _COMMON,
    _LETTERS - _VOWELS - _COMMON,
    _PUNCTUATION,
    _OTHER_SYMBOLS,
    _CONTINUATION,
    range(0xC2, 0xE0),
    range(0xE0, 0xF0),
    range(0xF0, 0xF5),
    {0xC0, 0xC1, *range(0xF5, 0xFF)},
    {0xFF},
)
"""Partition of all bytes: ASCII by use, UTF-8 (RFC 3629) by position in a character, and bytes that are in no text."""


def membership(sets: Sequence[Collection[int]]) -> Tensor:
    """Return a 257×len(sets) table: 1 if the byte is in the set. The row of NO_BYTE is zero."""
    table = torch.zeros(NO_BYTE + 1, len(sets))
    for column, members in enumerate(sets):
        table[sorted(members), column] = 1.0
    return table


def both_orders(table: Tensor) -> Tensor:
    """Return 257×2×K: the rows of a 257×K table for each byte and for the byte with reversed bits."""
    reversed_bits = [int(f"{value:08b}"[::-1], 2) for value in range(256)]
    return torch.stack([table, table[[*reversed_bits, NO_BYTE]]], dim=1)

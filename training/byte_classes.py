"""What kind a byte is, as a reader of hidden texts sees it; fixed tables, nothing learned."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import torch
from torch import Tensor

NO_BYTE: Final = 256
"""Place of the tables' last row, all zeros: where there is no byte, or not all of its bits are known."""

_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyz")
_VOWELS = frozenset(b"aeiou")
_COMMON = frozenset(b"tnshrdlcm")
_DIGITS = frozenset(b"0123456789")
_CAPITALS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
_BREAKS = frozenset(b"\t\n\r")
_MARKS = frozenset(b".,-':;()?!\"")
_OTHER_MARKS = frozenset(range(33, 127)) - _LETTERS - _CAPITALS - _DIGITS - _MARKS
_FOLLOWERS = frozenset(range(0x80, 0xC0))

CLASSES: Final[tuple[Collection[int], ...]] = (
    {0},
    frozenset(range(1, 32)) - _BREAKS | {127},
    _BREAKS,
    {32},
    _DIGITS,
    _CAPITALS,
    _VOWELS,
    _COMMON,
    _LETTERS - _VOWELS - _COMMON,
    _MARKS,
    _OTHER_MARKS,
    _FOLLOWERS,
    range(0xC2, 0xE0),
    range(0xE0, 0xF0),
    range(0xF0, 0xF5),
    {0xC0, 0xC1, *range(0xF5, 0xFF)},
    {0xFF},
)
"""Every byte is in one class: of ASCII by use, of UTF-8 (RFC 3629) by place in a character, or in no text."""


def membership(sets: Sequence[Collection[int]]) -> Tensor:
    """257×len(sets): 1 where the byte is in the set; the row of NO_BYTE is zero."""
    table = torch.zeros(NO_BYTE + 1, len(sets))
    for column, members in enumerate(sets):
        table[sorted(members), column] = 1.0
    return table


def both_orders(table: Tensor) -> Tensor:
    """257×2×K: the rows of a 257×K table for a byte as it stands, and for its eight bits the other way round."""
    turned = [int(f"{value:08b}"[::-1], 2) for value in range(256)]
    return torch.stack([table, table[[*turned, NO_BYTE]]], dim=1)

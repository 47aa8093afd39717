"""Choosing among kinds that have shares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

Choice = TypeVar("Choice")


def pick(rng: np.random.Generator, kinds: Mapping[str, tuple[float, Choice]]) -> Choice:
    """The value of one of `kinds` (name → share and value), by share."""
    return kinds[pick_name(rng, kinds)][1]


def pick_name(rng: np.random.Generator, kinds: Mapping[str, tuple[float, Choice]]) -> str:
    """The name of one of `kinds`, by share."""
    names = tuple(kinds)
    return names[_index(rng, [kinds[name][0] for name in names])]


def pick_share(rng: np.random.Generator, shares: Sequence[tuple[Choice, float]]) -> Choice:
    """One of several (value, share) pairs, by share."""
    return shares[_index(rng, [share for _, share in shares])][0]


def one_of(rng: np.random.Generator, choices: Sequence[Choice]) -> Choice:
    """One of several, all equally likely."""
    return choices[int(rng.integers(len(choices)))]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between `low` and `high` whose logarithm is evenly spread."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _index(rng: np.random.Generator, shares: list[float]) -> int:
    weights = np.array(shares)
    return int(rng.choice(len(shares), p=weights / weights.sum()))

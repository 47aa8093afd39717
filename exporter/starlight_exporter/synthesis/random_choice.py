"""Weighted and log-uniform random choices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

Choice = TypeVar("Choice")


def choose_kind(rng: np.random.Generator, kinds: Mapping[str, tuple[float, Choice]]) -> Choice:
    """Return a random value of `kinds` (name → share and value), weighted by share."""
    return kinds[choose_kind_name(rng, kinds)][1]


def choose_kind_name(rng: np.random.Generator, kinds: Mapping[str, tuple[float, Choice]]) -> str:
    """Return a random name of `kinds` (name → share and value), weighted by share."""
    names = tuple(kinds)
    return names[_index(rng, [kinds[name][0] for name in names])]


def choose_weighted(rng: np.random.Generator, shares: Sequence[tuple[Choice, float]]) -> Choice:
    """Return a random value of (value, share) pairs, weighted by share."""
    return shares[_index(rng, [share for _, share in shares])][0]


def choose(rng: np.random.Generator, choices: Sequence[Choice]) -> Choice:
    """Return a random element; all are equally likely."""
    return choices[int(rng.integers(len(choices)))]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Return a log-uniform random number between `low` and `high`."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _index(rng: np.random.Generator, shares: list[float]) -> int:
    weights = np.array(shares)
    return int(rng.choice(len(shares), p=weights / weights.sum()))

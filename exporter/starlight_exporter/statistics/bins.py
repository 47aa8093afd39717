"""Bins with fixed edges and names."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class Bins:
    """Half-open bins [edge, next edge), with one below the first edge and one from the last. `edges` ascend."""

    edges: tuple[float, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all bins: `below 10`, `10 to 20`, `20 or more`."""
        return _names(self.edges)

    def index(self, values: ArrayLike) -> NDArray[np.int64]:
        """Return the number of the bin of each value, from 0."""
        return np.searchsorted(np.asarray(self.edges), np.asarray(values, dtype=np.float64), side="right")


@lru_cache
def _names(edges: tuple[float, ...]) -> tuple[str, ...]:
    texts = [f"{edge:.12g}" for edge in edges]
    between = (f"{low} to {high}" for low, high in pairwise(texts))
    return (f"below {texts[0]}", *between, f"{texts[-1]} or more")

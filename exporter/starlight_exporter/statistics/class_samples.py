"""Samples of files with equal numbers of each class."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def balanced_sample(labels: ArrayLike, limit: int, *, seed: int) -> NDArray[np.int64]:
    """Return the ascending positions of at most `limit` files, chosen at random, as many of each class as possible.

    A class with fewer files than its share is complete. Without more files than `limit`, all are chosen.
    """
    own = np.asarray(labels, dtype=np.int64)
    if len(own) <= limit:
        return np.arange(len(own))
    rng = np.random.default_rng(seed)
    members = [rng.permutation(np.flatnonzero(own == label)) for label in np.unique(own)]
    chosen: list[NDArray[np.int64]] = []
    left = limit
    for number, one in enumerate(sorted(members, key=len)):
        share = left // (len(members) - number)
        chosen.append(one[:share])
        left -= len(chosen[-1])
    return np.sort(np.concatenate(chosen))

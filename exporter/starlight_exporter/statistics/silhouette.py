"""Silhouettes: how well classes of vectors are separated, without a classifier."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

_BLOCK: Final = 512
"""Rows of the distance matrix that are in memory."""
_ROUNDING: Final = 4e-13
"""Squared distances below this share of the squared length are rounding errors of equal vectors."""


def silhouettes(vectors: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Return the silhouette of each vector, shape (vectors,), by Euclidean distance.

    `vectors` has shape (vectors, dimensions), `labels` are integers from 0. The silhouette is (b - a) / max(a, b), with
    a the mean distance to the other vectors of the class and b that to the nearest other class: near 1 within the own
    class, 0 between two, negative within another; 0 for the only vector of a class and where a and b are 0. Raise
    ValueError for different lengths, values that are not finite, or fewer than two classes. Source: Rousseeuw, Journal
    of Computational and Applied Mathematics 20 (1987).
    """
    x, classes = np.asarray(vectors, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    if x.ndim != 2 or classes.shape != (len(x),):
        raise ValueError(f"expected one label per vector, got {x.shape} and {classes.shape}")
    if not np.isfinite(x).all():
        raise ValueError("expected finite values")
    present, own = np.unique(classes, return_inverse=True)
    if len(present) < 2:
        raise ValueError("expected vectors of at least two classes")
    # Distances are differences of squared lengths, which lose fewer digits around the mean.
    x = x - x.mean(axis=0)
    members = np.eye(len(present))[own]
    sizes, squares = members.sum(axis=0), np.einsum("ij,ij->i", x, x)
    # Equal vectors have equal lengths, so that one length is enough for the rounding error of their distance.
    rounding = _ROUNDING * squares
    ones = np.ones(len(x))
    left, right = np.column_stack((-2 * x, squares, ones)), np.column_stack((x, ones, squares)).T
    result = np.empty(len(x))
    for start in range(0, len(x), _BLOCK):
        rows = slice(start, start + _BLOCK)
        squared = left[rows] @ right
        squared *= squared >= rounding[rows, np.newaxis]
        # The distance of a vector to itself can be larger than the rounding error of its length.
        np.fill_diagonal(squared[:, start:], 0.0)
        sums = np.sqrt(squared, out=squared) @ members
        index = (np.arange(len(sums)), own[rows])
        within = sums[index] / np.maximum(sizes[own[rows]] - 1, 1)
        between = sums / sizes
        between[index] = np.inf
        nearest = between.min(axis=1)
        larger = np.maximum(within, nearest)
        result[rows] = np.where(larger > 0, nearest - within, 0.0) / np.where(larger > 0, larger, 1.0)
    result[sizes[own] == 1] = 0.0
    return result

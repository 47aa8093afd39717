"""Projection of vectors on their first principal components."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True, eq=False)
class PrincipalComponents:
    """Coordinates, shape (vectors, components), and the share of the total variance of each component."""

    coordinates: NDArray[np.float64]
    variance_shares: tuple[float, ...]


def principal_components(vectors: ArrayLike, components: int = 2) -> PrincipalComponents:
    """Project vectors, shape (vectors, dimensions), on their first principal components.

    The sign of a component is arbitrary: its loading with the largest absolute value is positive, so that equal vectors
    give equal coordinates. Raise ValueError for fewer than two vectors, fewer dimensions than components, values that
    are not finite, or equal vectors. Source: Hotelling, Journal of Educational Psychology 24 (1933).
    """
    x = np.array(vectors, dtype=np.float64)
    if x.ndim != 2 or len(x) < 2 or x.shape[1] < components:
        raise ValueError(f"expected at least 2 vectors of at least {components} dimensions, got shape {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError("expected finite values")
    if bool((x == x[0]).all()):
        raise ValueError("expected vectors that differ")
    x -= x.mean(axis=0)
    variances, axes = np.linalg.eigh(x.T @ x)
    # In ascending order; rounding can make a variance of 0 negative.
    chosen = axes[:, : -components - 1 : -1]
    largest = np.abs(chosen).argmax(axis=0)
    chosen = chosen * np.where(chosen[largest, np.arange(components)] < 0, -1.0, 1.0)
    shares = np.maximum(variances[: -components - 1 : -1], 0.0) / np.maximum(variances, 0.0).sum()
    return PrincipalComponents(x @ chosen, tuple(shares.tolist()))

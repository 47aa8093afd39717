"""Measure how far the distribution of a sample is from that of a reference sample."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

PSI_BINS: Final = 10
_PSEUDO_COUNT: Final = 0.5
"""Added to the count of every bin, so that the index is finite if a bin of one sample is empty."""

_Sample = NDArray[np.float64]


def population_stability_index(reference: _Sample, sample: _Sample) -> float:
    """Return Σ (p − q) ln(p / q) over ten bins that are quantiles of the reference; p and q are the shares of a bin.

    A value of several quantiles, as of a discrete variable, has a bin of its own; the outer bins are open. 0.5 is added
    to every count. Raise ValueError for an empty sample. Source: Jeffreys, An Invariant Form for the Prior Probability
    in Estimation Problems, Proceedings of the Royal Society A 186 (1946), as symmetric divergence; bins and name:
    Siddiqi, Credit Risk Scorecards (2006).
    """
    _require_values(reference, sample)
    # Observed values as edges, so that equal values never fall into different bins.
    quantiles = np.quantile(reference, np.arange(1, PSI_BINS) / PSI_BINS, method="inverted_cdf")
    values, counts = np.unique(quantiles, return_counts=True)
    edges = np.union1d(values, np.nextafter(values[counts > 1], -np.inf))
    of_reference, of_sample = _counts(reference, edges), _counts(sample, edges)
    occupied = of_reference + of_sample > 0
    p, q = _shares(of_reference[occupied]), _shares(of_sample[occupied])
    return float(np.sum((p - q) * np.log(p / q)))


def _counts(values: _Sample, edges: _Sample) -> NDArray[np.int64]:
    return np.bincount(np.searchsorted(edges, values, side="left"), minlength=edges.size + 1)


def _shares(counts: NDArray[np.int64]) -> _Sample:
    shares: _Sample = (counts + _PSEUDO_COUNT) / (counts + _PSEUDO_COUNT).sum()
    return shares


def kolmogorov_smirnov(reference: _Sample, sample: _Sample) -> tuple[float, float]:
    """Return the largest distance of the two empirical distribution functions, and the p-value of equal distributions.

    The p-value is that of the asymptotic distribution; with ties, as in discrete variables, it is too large, so the
    test is conservative. Raise ValueError for an empty sample. Source: Smirnov, Table for Estimating the Goodness of
    Fit of Empirical Distributions, Annals of Mathematical Statistics 19 (1948).
    """
    _require_values(reference, sample)
    one, other = np.sort(reference), np.sort(sample)
    values = np.concatenate([one, other])
    distances = np.searchsorted(one, values, side="right") / one.size - (
        np.searchsorted(other, values, side="right") / other.size
    )
    distance = float(np.max(np.abs(distances)))
    effective = math.sqrt(one.size * other.size / (one.size + other.size))
    return distance, float(special.kolmogorov(effective * distance))


def _require_values(reference: _Sample, sample: _Sample) -> None:
    if reference.size == 0 or sample.size == 0:
        raise ValueError("expected at least one value in both samples")

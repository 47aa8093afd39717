"""Bootstrap of the ratio of two quantiles that were measured on the same images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.statistics.quantiles import quantile_rank

RESAMPLES: Final = 2000
BOUNDS: Final = (0.005, 0.995)
"""Quantiles of the resampled ratios that are reported as bounds."""
_BLOCK: Final = 250
_BLOCK_VALUES: Final = 4_000_000


@dataclass(frozen=True, slots=True)
class QuantileRatio:
    """Ratio of two sample quantiles; `lower` and `upper` are its 0.5% and 99.5% bootstrap quantiles."""

    value: float
    lower: float
    upper: float


def quantile_ratio(
    numerator: NDArray[np.float64], denominator: NDArray[np.float64], quantile: float, seed: int
) -> QuantileRatio:
    """Return the ratio of the sample quantiles of two arrays of seconds, shape (images, repeats) each.

    The quantile of n timings is the order statistic of rank ceil(quantile·n). Each of 2,000 resamples takes whole
    images with replacement, the same for both arrays: timings of one image stay together, and differences between
    images cancel. Of a single image, calls are resampled. Raise ValueError for unequal shapes, no timing, or seconds
    that are not positive. Source: paired percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap,
    1993, sections 8.3 and 13.3).
    """
    if numerator.ndim != 2 or numerator.shape != denominator.shape or numerator.size == 0:
        raise ValueError(
            f"expected two arrays of the same shape (images, repeats), got {numerator.shape} and {denominator.shape}"
        )
    if not (np.all(numerator > 0) and np.all(denominator > 0)):
        raise ValueError("expected positive seconds, the clock is too coarse")
    if len(numerator) == 1:
        # Every resample would be the same image, and the bounds equal to the ratio.
        numerator, denominator = numerator.T, denominator.T
    images, size = len(numerator), numerator.size
    place = quantile_rank(quantile, size) - 1
    rng = np.random.default_rng(seed)
    # Bounds the memory of a block for samples of any size.
    block = max(1, min(_BLOCK, _BLOCK_VALUES // size))
    ratios = np.empty(RESAMPLES)
    for start in range(0, RESAMPLES, block):
        chosen = rng.integers(0, images, (min(block, RESAMPLES - start), images))
        ratios[start : start + len(chosen)] = _order_statistics(numerator, chosen, place) / _order_statistics(
            denominator, chosen, place
        )
    lower, upper = np.quantile(ratios, BOUNDS)
    own, other = (float(np.partition(values, place, axis=None)[place]) for values in (numerator, denominator))
    return QuantileRatio(own / other, float(lower), float(upper))


def _order_statistics(values: NDArray[np.float64], chosen: NDArray[np.int64], place: int) -> NDArray[np.float64]:
    """Return the value at `place` in ascending order of every resample, shape (resamples,)."""
    resampled = values[chosen].reshape(len(chosen), -1)
    resampled.partition(place, axis=1)
    result: NDArray[np.float64] = resampled[:, place]
    return result

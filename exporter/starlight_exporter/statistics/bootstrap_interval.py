"""Bootstrap intervals from resampled values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from starlight_exporter.statistics.intervals import TAIL


def bias_corrected_bounds(value: float, resampled: NDArray[np.float64], tail: float = TAIL) -> tuple[float, float]:
    """Return the bounds of a value with a share `tail` outside on each side, from resampled values (resamples,).

    A minimum over thresholds is smaller in most resamples than in the sample, as it is smaller in most samples than in
    the population; the correction shifts the quantiles by that. Source: Efron, Canadian Journal of Statistics 9 (1981).
    """
    levels = special.ndtr(2 * _bias(value, resampled) + special.ndtri([tail, 1 - tail]))
    lower, upper = np.quantile(resampled, levels)
    return float(lower), float(upper)


def _bias(value: float, resampled: NDArray[np.float64]) -> float:
    """Return the median bias of the resampled values in standard deviations."""
    return float(special.ndtri(_share_below(value, resampled)))


def _share_below(value: float, resampled: NDArray[np.float64]) -> float:
    """Return the share of the resampled values below a value, ties counted half; never 0 or 1."""
    below = np.count_nonzero(resampled < value) + np.count_nonzero(resampled == value) / 2
    return float((below + 0.5) / (len(resampled) + 1))

"""Distribution-free confidence intervals of quantiles."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from starlight_exporter.statistics.intervals import CONFIDENCE, TAIL


def quantile_sample_needed(quantile: float) -> int:
    """Return the smallest sample whose maximum exceeds the quantile with 95% confidence: ceil(ln 0.05 / ln q).

    Raises ValueError unless 0 < quantile < 1.
    """
    if not 0.0 < quantile < 1.0:
        raise ValueError(f"expected a quantile between 0 and 1, got {quantile!r}")
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(quantile))


def quantile_rank(quantile: float, size: int) -> int:
    """Return the rank (from 1) of the sample quantile: ceil(quantile·size).

    It is the smallest value with at least a share `quantile` of the sample at or below it. Raises ValueError unless
    0 < quantile < 1 and size >= 1.
    """
    if not 0.0 < quantile < 1.0 or size < 1:
        raise ValueError(f"expected a quantile between 0 and 1 of at least one timing, got {quantile!r} of {size}")
    return min(size, max(1, math.ceil(round(quantile * size, 9))))


def quantile_ranks(quantile: float, size: int) -> tuple[int, int | None, int | None]:
    """Return the ranks (from 1) of the sample quantile and of its 95% confidence bounds in a sample of `size` values.

    A bound is None if the sample is too small. Raises ValueError as `quantile_rank`. Source: David and Nagaraja, Order
    Statistics, 2003, section 7.1.
    """
    rank = quantile_rank(quantile, size)
    # cumulative[r - 1] = P(fewer than r values at or below the quantile) = P(the r-th value is above it).
    cumulative = special.bdtr(np.arange(size, dtype=np.float64), size, quantile)
    lower = int(np.count_nonzero(cumulative <= TAIL))
    upper = int(np.count_nonzero(cumulative < 1 - TAIL)) + 1
    return rank, lower or None, upper if upper <= size else None

"""Distribution-free confidence limits of quantiles."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from starlight_exporter.statistics.intervals import CONFIDENCE


def quantile_sample_needed(quantile: float) -> int:
    """How many timings until the largest one exceeds the quantile with 95 % confidence: ceil(ln 0.05 / ln q)."""
    if not 0.0 < quantile < 1.0:
        raise ValueError(f"expected a quantile between 0 and 1, got {quantile!r}")
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(quantile))


def quantile_ranks(quantile: float, images: int) -> tuple[int, int | None, int | None]:
    """Ranks (from 1) of the order statistic that is the quantile, and of those that enclose it with 95 % confidence.

    The quantile is the smallest value with at least `quantile` of the sample at or below it. The bounds hold for any
    distribution; None where the sample is too small. Source: David and Nagaraja, Order Statistics, 2003, section 7.1.
    """
    if not 0.0 < quantile < 1.0 or images < 1:
        raise ValueError(f"expected a quantile between 0 and 1 of at least one timing, got {quantile!r} of {images}")
    tail = (1 - CONFIDENCE) / 2
    at_most = special.bdtr(np.arange(images, dtype=np.float64), images, quantile)
    # at_most[r - 1] = P(fewer than r timings at or below the quantile) = P(the r-th lies above it).
    lower = int(np.count_nonzero(at_most <= tail))
    upper = int(np.count_nonzero(at_most < 1 - tail)) + 1
    rank = min(images, max(1, math.ceil(round(quantile * images, 9))))
    return rank, lower or None, upper if upper <= images else None

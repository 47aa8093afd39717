"""Confidence intervals of proportions, means and differences."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

CONFIDENCE = 0.95

_NORMAL_QUANTILE = float(special.ndtri(0.975))


@dataclass(frozen=True, slots=True)
class Proportion:
    """`count` of `total` images, with the exact (Clopper–Pearson) 95 % interval; all None where `total` is 0.

    Build it with `statistics.proportion`.
    """

    count: int
    total: int
    ratio: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its two-sided 95 % interval; the bounds are None where one value alone gives no spread."""

    value: float
    lower: float | None
    upper: float | None


def proportion(count: int, total: int) -> Proportion:
    """`count` of `total` with the exact two-sided 95 % interval; ValueError unless 0 <= count <= total.

    Source: Clopper and Pearson, Biometrika 26 (1934); as quantiles of the beta distribution.
    """
    if not 0 <= count <= total:
        raise ValueError(f"{count} of {total} is not a proportion")
    if total == 0:
        return Proportion(0, 0, None, None, None)
    return Proportion(count, total, count / total, lower_bound(count, total), upper_bound(count, total))


def mean_with_interval(values: ArrayLike) -> Interval | None:
    """The mean of independent values (of paired differences, say) with Student's t interval; None without values.

    Source: Student, The Probable Error of a Mean, Biometrika 6 (1908).
    """
    x = np.asarray(values, dtype=np.float64)
    if x.size == 0:
        return None
    mean = math.fsum(x.tolist()) / x.size
    if x.size == 1:
        return Interval(mean, None, None)
    deviation = math.sqrt(math.fsum(((x - mean) ** 2).tolist()) / (x.size - 1) / x.size)
    reach = float(special.stdtrit(x.size - 1, (1 + CONFIDENCE) / 2)) * deviation
    return Interval(mean, mean - reach, mean + reach)


def difference_interval(here: Proportion, elsewhere: Proportion) -> tuple[float, float]:
    """95 % interval of the difference of two rates. Source: Newcombe, Statistics in Medicine 17 (1998), method 10."""
    p, q = here.count / here.total, elsewhere.count / elsewhere.total
    p_lower, p_upper = _wilson(here)
    q_lower, q_upper = _wilson(elsewhere)
    lower = p - q - math.hypot(p - p_lower, q_upper - q)
    upper = p - q + math.hypot(p_upper - p, q - q_lower)
    return max(-1.0, lower), min(1.0, upper)


def lower_bound(count: int, total: int) -> float:
    return 0.0 if count == 0 else float(special.betaincinv(count, total - count + 1, (1 - CONFIDENCE) / 2))


def upper_bound(count: int, total: int) -> float:
    return 1.0 if count == total else float(special.betaincinv(count + 1, total - count, (1 + CONFIDENCE) / 2))


def _wilson(value: Proportion) -> tuple[float, float]:
    n, p, z = value.total, value.count / value.total, _NORMAL_QUANTILE
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)

"""Exact hypothesis tests, and the adjustment of p-values for multiple comparisons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import special

from starlight_exporter.statistics.intervals import Proportion


def mcnemar_p_value(fixed: int, broken: int) -> float | None:
    """Return the two-sided exact p-value of McNemar's test on paired verdicts, or None if no verdict flipped.

    `fixed` verdicts became right, `broken` ones wrong; the null hypothesis is a probability of 1/2 for either. Raises
    ValueError for negative counts. Source: McNemar, Psychometrika 12 (1947), in its exact binomial form.
    """
    if fixed < 0 or broken < 0:
        raise ValueError(f"expected counts, got {fixed} and {broken}")
    if fixed + broken == 0:
        return None
    return min(1.0, 2.0 * float(special.bdtr(min(fixed, broken), fixed + broken, 0.5)))


@lru_cache(maxsize=4096)
def fisher_p_value(one: Proportion, other: Proportion) -> float:
    """Return the two-sided p-value of Fisher's exact test for equal rates of two independent proportions.

    It is the sum over all tables with the same margins that are at most as probable as the observed one. Source:
    Fisher, The Design of Experiments, 1935.
    """
    hits, images, total = one.count + other.count, one.total, one.total + other.total
    counts = np.arange(max(0, hits + images - total), min(hits, images) + 1)
    logs = (
        _log_choose(hits, counts) + _log_choose(total - hits, images - counts) - _log_choose(total, np.array([images]))
    )
    observed = logs[one.count - counts[0]]
    # The tolerance keeps equally probable tables in the sum despite rounding.
    return min(1.0, math.fsum(np.exp(logs[logs <= observed + 1e-7]).tolist()))


def benjamini_hochberg(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Return p-values adjusted for the false discovery rate, in the given order.

    None (nothing to test) stays None and does not count as a test. Source: Benjamini and Hochberg, Journal of the Royal
    Statistical Society B 57 (1995), step-up procedure.
    """
    known = sorted((p, position) for position, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    smallest = 1.0
    for rank in range(len(known), 0, -1):
        p, position = known[rank - 1]
        smallest = min(smallest, p * len(known) / rank)
        adjusted[position] = smallest
    return tuple(adjusted)


def _log_choose(n: int, k: np.ndarray) -> np.ndarray:
    return np.asarray(special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1))

"""Exact hypothesis tests, and the adjustment of p-values for multiple tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import special

from starlight_exporter.statistics.intervals import Proportion


def mcnemar_p_value(fixed: int, broken: int) -> float | None:
    """Two-sided exact McNemar test over paired verdicts that flipped; None where none flipped, ValueError below zero.

    Under the null hypothesis a flip goes either way with probability 1/2. Source: McNemar, Psychometrika 12 (1947),
    exact binomial form.
    """
    if fixed < 0 or broken < 0:
        raise ValueError(f"expected counts, got {fixed} and {broken}")
    if fixed + broken == 0:
        return None
    return min(1.0, 2.0 * float(special.bdtr(min(fixed, broken), fixed + broken, 0.5)))


@lru_cache(maxsize=4096)
def fisher_p_value(here: Proportion, elsewhere: Proportion) -> float:
    """Two-sided exact test that both proportions are of one rate: the sum over all tables that are not more likely.

    Source: Fisher, The Design of Experiments, 1935; tables of equal margins have hypergeometric probabilities.
    """
    hits, images, total = here.count + elsewhere.count, here.total, here.total + elsewhere.total
    counts = np.arange(max(0, hits + images - total), min(hits, images) + 1)
    logs = (
        _log_choose(hits, counts) + _log_choose(total - hits, images - counts) - _log_choose(total, np.array([images]))
    )
    observed = logs[here.count - counts[0]]
    # Rounding must not put a table that is exactly as likely on the other side.
    return min(1.0, math.fsum(np.exp(logs[logs <= observed + 1e-7]).tolist()))


def benjamini_hochberg(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Adjusted p-values in the given order: calling those below q changed errs in at most a share q of the calls.

    None (nothing flipped, nothing to test) stays None and counts as no test. Source: Benjamini and Hochberg, Journal of
    the Royal Statistical Society B 57 (1995), as step-up adjusted values.
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    smallest = 1.0
    for rank in range(len(known), 0, -1):
        p, place = known[rank - 1]
        smallest = min(smallest, p * len(known) / rank)
        adjusted[place] = smallest
    return tuple(adjusted)


def _log_choose(n: int, k: np.ndarray) -> np.ndarray:
    return np.asarray(special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1))

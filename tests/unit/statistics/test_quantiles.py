"""Ranks of quantiles and their confidence bounds against the binomial distribution and simulated samples."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from starlight_exporter.statistics.quantiles import quantile_ranks, quantile_sample_needed


def test_sample_needed_for_a_quantile() -> None:
    assert [quantile_sample_needed(q) for q in (0.5, 0.95, 0.99)] == [5, 59, 299]
    for q in (0.5, 0.9, 0.95, 0.99):
        n = quantile_sample_needed(q)
        assert q**n <= 0.05 < q ** (n - 1)


def test_rejects_a_quantile_outside_the_open_interval() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        quantile_sample_needed(1.0)


@given(st.sampled_from([0.5, 0.9, 0.95, 0.99]), st.integers(1, 400))
@settings(deadline=None)
def test_ranks_enclose_the_quantile_as_closely_as_possible(quantile: float, size: int) -> None:
    rank, lower, upper = quantile_ranks(quantile, size)
    # The smallest rank with at least the quantile's share at or below it, in decimal arithmetic.
    assert rank == math.ceil(Fraction(repr(quantile)) * size)
    below = stats.binom(size, quantile)
    if lower is not None:
        assert lower <= rank
        assert below.cdf(lower - 1) <= 0.025
    assert below.cdf(lower or 0) > 0.025
    if upper is not None:
        assert rank <= upper <= size
        assert below.sf(upper - 1) <= 0.025 + 1e-12
        assert below.sf(upper - 2) > 0.025
    else:
        assert below.sf(size - 1) > 0.025


def test_bounds_contain_the_true_quantile_in_at_least_95_percent_of_samples() -> None:
    rng = np.random.default_rng(1)
    _, lower, upper = quantile_ranks(0.95, 300)
    assert lower is not None
    assert upper is not None
    samples = np.sort(rng.exponential(size=(4000, 300)), axis=1)
    truth = -math.log(0.05)
    contained = np.mean((samples[:, lower - 1] <= truth) & (truth <= samples[:, upper - 1]))
    assert 0.94 < contained <= 0.99

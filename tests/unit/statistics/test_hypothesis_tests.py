"""Hypothesis tests against exact fractions and scipy.stats."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from starlight_exporter.statistics.hypothesis_tests import benjamini_hochberg, fisher_p_value, mcnemar_p_value
from starlight_exporter.statistics.intervals import proportion


@given(st.integers(0, 60), st.integers(0, 60))
@settings(deadline=None)
def test_mcnemar_equals_the_exact_binomial_test(fixed: int, broken: int) -> None:
    p = mcnemar_p_value(fixed, broken)
    flips = fixed + broken
    if flips == 0:
        assert p is None
        return
    fewer = min(fixed, broken)
    exact = min(Fraction(1), 2 * sum((Fraction(math.comb(flips, i), 2**flips) for i in range(fewer + 1)), Fraction(0)))
    assert p == pytest.approx(float(exact), rel=1e-12)
    assert p == pytest.approx(stats.binomtest(fixed, flips, 0.5).pvalue, rel=1e-9)


def test_mcnemar_is_significant_from_six_flips_in_one_direction() -> None:
    assert mcnemar_p_value(5, 0) == 0.0625
    assert mcnemar_p_value(6, 0) == 0.03125


def test_mcnemar_rejects_negative_counts() -> None:
    with pytest.raises(ValueError, match="counts"):
        mcnemar_p_value(-1, 3)


@given(st.integers(1, 40), st.integers(1, 40), st.data())
@settings(deadline=None, max_examples=60)
def test_fisher_equals_that_of_scipy(first: int, second: int, data: st.DataObject) -> None:
    hits, others = data.draw(st.integers(0, first)), data.draw(st.integers(0, second))
    expected = stats.fisher_exact(np.array([[hits, first - hits], [others, second - others]])).pvalue
    assert fisher_p_value(proportion(hits, first), proportion(others, second)) == pytest.approx(expected, rel=1e-6)


def test_fisher_equals_published_examples() -> None:
    # Fisher's tea tasting: 3 of 4 against 1 of 4.
    assert fisher_p_value(proportion(3, 4), proportion(1, 4)) == pytest.approx(34 / 70)
    assert fisher_p_value(proportion(0, 50), proportion(0, 60)) == 1.0
    every = [math.comb(10, k) * math.comb(20, 8 - k) / math.comb(30, 8) for k in range(9)]
    assert fisher_p_value(proportion(6, 8), proportion(4, 22)) == pytest.approx(sum(p for p in every if p <= every[6]))


def test_benjamini_hochberg_equals_that_of_scipy() -> None:
    p_values = [0.001, 0.04, 0.03, 0.5, 0.04, 1.0, 0.0001]
    assert benjamini_hochberg(p_values) == pytest.approx(stats.false_discovery_control(p_values))


def test_benjamini_hochberg_ignores_missing_tests() -> None:
    assert benjamini_hochberg([None, 0.02, None, 0.04]) == pytest.approx((None, 0.04, None, 0.04))
    assert benjamini_hochberg([]) == ()

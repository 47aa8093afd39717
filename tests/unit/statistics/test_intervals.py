"""Confidence intervals against binomial sums in exact fractions and scipy.stats."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from starlight_exporter.statistics.intervals import Proportion, difference_interval, mean_with_interval, proportion

counts = st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def tail_at_least(k: int, n: int, p: Fraction) -> Fraction:
    return sum((math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1)), Fraction(0))


@given(counts)
@settings(max_examples=60, deadline=None)
def test_bounds_leave_exactly_two_and_a_half_percent_in_each_tail(count: tuple[int, int]) -> None:
    k, n = count
    interval = proportion(k, n)
    assert interval.ratio == k / n
    assert interval.lower is not None
    assert interval.upper is not None
    if k == 0:
        assert interval.lower == 0.0
    else:
        assert float(tail_at_least(k, n, Fraction(interval.lower))) == pytest.approx(0.025, rel=1e-9)
    if k == n:
        assert interval.upper == 1.0
    else:
        assert 1 - float(tail_at_least(k + 1, n, Fraction(interval.upper))) == pytest.approx(0.025, rel=1e-9)


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@settings(max_examples=200, deadline=None)
@pytest.mark.slow
def test_interval_contains_the_ratio_and_equals_that_of_scipy(count: tuple[int, int]) -> None:
    k, n = count
    interval = proportion(k, n)
    assert interval.lower is not None
    assert interval.upper is not None
    assert interval.ratio is not None
    assert 0.0 <= interval.lower <= interval.ratio <= interval.upper <= 1.0
    reference = stats.binomtest(k, n).proportion_ci(0.95, method="exact")
    assert interval.lower == pytest.approx(reference.low, rel=1e-6, abs=1e-12)
    assert interval.upper == pytest.approx(reference.high, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(("images", "upper"), [(311, 0.0118), (1400, 0.0026), (10_000, 0.00037)])
def test_upper_bound_without_false_positives_is_greater_than_zero(images: int, upper: float) -> None:
    assert proportion(0, images).upper == pytest.approx(upper, rel=0.02)


def test_empty_proportion_has_no_ratio_and_no_bounds() -> None:
    assert proportion(0, 0) == Proportion(0, 0, None, None, None)


@pytest.mark.parametrize(("count", "total"), [(-1, 5), (6, 5), (0, -1), (1, 0)])
def test_rejects_impossible_counts(count: int, total: int) -> None:
    with pytest.raises(ValueError, match="not a proportion"):
        proportion(count, total)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30))
@settings(deadline=None)
def test_interval_of_a_mean_equals_that_of_scipy(values: list[float]) -> None:
    interval = mean_with_interval(values)
    assert interval is not None
    assert interval.lower is not None
    assert interval.upper is not None
    assert interval.value == pytest.approx(math.fsum(values) / len(values))
    error = stats.sem(values)
    margin = stats.t.ppf(0.975, len(values) - 1) * error
    assert interval.upper - interval.lower == pytest.approx(2 * margin, rel=1e-6, abs=1e-9)


def test_mean_of_one_value_has_no_bounds_and_of_none_is_none() -> None:
    single = mean_with_interval([2.5])
    assert single is not None
    assert (single.value, single.lower, single.upper) == (2.5, None, None)
    assert mean_with_interval([]) is None


def test_difference_interval_equals_the_published_example() -> None:
    # Newcombe 1998, table II: 56 of 70 and 48 of 80, method 10.
    lower, upper = difference_interval(proportion(56, 70), proportion(48, 80))
    assert (round(lower, 4), round(upper, 4)) == (0.0524, 0.3339)

"""The statistics against independent formulas: binomial sums in exact fractions, pair counting, scipy.stats."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from starlight_exporter.statistics.hypothesis_tests import mcnemar_p_value
from starlight_exporter.statistics.intervals import Proportion, proportion
from starlight_exporter.statistics.quantiles import quantile_ranks, quantile_sample_needed
from starlight_exporter.statistics.sample_sizes import images_needed_to_confirm
from starlight_exporter.statistics.scores import Scores, expected_calibration_error, log_loss, roc_auc

counts = st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
scored = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 1 / 15, 0.25, 0.5, 0.75, 0.9999, 1.0]) | st.floats(0, 1), st.booleans()),
    max_size=40,
)


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
def test_interval_holds_the_ratio_and_equals_the_one_of_scipy_stats(count: tuple[int, int]) -> None:
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
def test_no_false_positive_still_allows_a_rate(images: int, upper: float) -> None:
    assert proportion(0, images).upper == pytest.approx(upper, rel=0.02)


def test_nothing_measured_is_no_ratio() -> None:
    assert proportion(0, 0) == Proportion(0, 0, None, None, None)


@pytest.mark.parametrize(("count", "total"), [(-1, 5), (6, 5), (0, -1), (1, 0)])
def test_impossible_counts_are_refused(count: int, total: int) -> None:
    with pytest.raises(ValueError, match="not a proportion"):
        proportion(count, total)


def test_images_needed_without_failures_follow_the_closed_form() -> None:
    for target in (0.0005, 0.001, 0.005, 0.05, 0.5):
        assert images_needed_to_confirm(target) == math.floor(math.log(0.025) / math.log1p(-target)) + 1
    assert images_needed_to_confirm(0.0005) == 7376


@given(st.sampled_from([0.001, 0.005, 0.02, 0.1, 0.3]), st.integers(0, 6))
@settings(deadline=None)
def test_images_needed_is_the_smallest_sample_that_confirms(target: float, failures: int) -> None:
    n = images_needed_to_confirm(target, failures=failures)
    assert (proportion(failures, n).upper or 0) < target
    assert (proportion(failures, n - 1).upper or 0) >= target


@pytest.mark.parametrize("target", [0.0, 1.0, -0.1])
def test_a_target_outside_the_open_interval_is_refused(target: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        images_needed_to_confirm(target)


@given(scored)
@settings(deadline=None)
def test_roc_auc_counts_pairs(entries: list[tuple[float, bool]]) -> None:
    auc = roc_auc(Scores.of([p for p, _ in entries], [y for _, y in entries]))
    pairs = [(a > b) + (a == b) / 2 for a, ya in entries if ya for b, yb in entries if not yb]
    if not pairs:
        assert auc is None
    else:
        assert auc == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)


def test_roc_auc_of_a_constant_model_is_a_half_and_of_a_perfect_one_is_one() -> None:
    assert roc_auc(Scores.of([0.3] * 5, [True, False, True, False, False])) == 0.5
    assert roc_auc(Scores.of([0.1, 0.2, 0.8, 0.9], [False, False, True, True])) == 1.0
    assert roc_auc(Scores.of([0.1, 0.2, 0.8, 0.9], [True, True, False, False])) == 0.0


@given(scored.filter(bool))
@settings(deadline=None)
def test_log_loss_is_the_mean_of_the_logs(entries: list[tuple[float, bool]]) -> None:
    eps = 2.0**-52
    expected = 0.0
    for p, stego in entries:
        clipped = min(max(p, eps), 1 - eps)
        expected -= math.log(clipped if stego else 1 - clipped) / len(entries)
    loss = log_loss(Scores.of([p for p, _ in entries], [y for _, y in entries]))
    assert loss is not None
    assert math.isfinite(loss)
    assert loss == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_a_certain_error_costs_much_but_not_infinitely() -> None:
    assert log_loss(Scores.of([0.0], [True])) == pytest.approx(52 * math.log(2))


@given(scored.filter(bool))
@settings(deadline=None)
def test_calibration_error_by_bins_made_by_hand(entries: list[tuple[float, bool]]) -> None:
    bins: dict[int, list[tuple[float, bool]]] = {}
    for p, stego in entries:
        index = next(i for i in range(15) if p <= (i + 1) / 15 or i == 14)
        bins.setdefault(index, []).append((p, stego))
    expected = sum(abs(sum(p for p, _ in b) - sum(y for _, y in b)) for b in bins.values()) / len(entries)
    error = expected_calibration_error(Scores.of([p for p, _ in entries], [y for _, y in entries]))
    assert error == pytest.approx(expected, abs=1e-12)


def test_calibration_error_of_extremes() -> None:
    assert expected_calibration_error(Scores.of([0.0, 1.0], [False, True])) == 0.0
    assert expected_calibration_error(Scores.of([0.0, 1.0], [True, False])) == 1.0
    assert expected_calibration_error(Scores.of([0.5] * 4, [True, True, False, False])) == 0.0


def test_scores_of_nothing_are_none() -> None:
    nothing = Scores.of([], [])
    assert roc_auc(nothing) is None
    assert log_loss(nothing) is None
    assert expected_calibration_error(nothing) is None


@pytest.mark.parametrize("bad", [[math.nan], [-0.1], [1.1], [0.5, 0.5]])
def test_scores_outside_the_contract_are_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match=r"probability|length"):
        Scores.of(bad, [True])


@given(st.integers(0, 60), st.integers(0, 60))
@settings(deadline=None)
def test_mcnemar_is_the_exact_binomial_test(fixed: int, broken: int) -> None:
    p = mcnemar_p_value(fixed, broken)
    flips = fixed + broken
    if flips == 0:
        assert p is None
        return
    fewer = min(fixed, broken)
    exact = min(Fraction(1), 2 * sum((Fraction(math.comb(flips, i), 2**flips) for i in range(fewer + 1)), Fraction(0)))
    assert p == pytest.approx(float(exact), rel=1e-12)
    assert p == pytest.approx(stats.binomtest(fixed, flips, 0.5).pvalue, rel=1e-9)


def test_mcnemar_needs_six_flips_one_way() -> None:
    assert mcnemar_p_value(5, 0) == 0.0625
    assert mcnemar_p_value(6, 0) == 0.03125
    with pytest.raises(ValueError, match="counts"):
        mcnemar_p_value(-1, 3)


def test_timings_that_a_quantile_needs() -> None:
    assert [quantile_sample_needed(q) for q in (0.5, 0.95, 0.99)] == [5, 59, 299]
    for q in (0.5, 0.9, 0.95, 0.99):
        n = quantile_sample_needed(q)
        assert q**n <= 0.05 < q ** (n - 1)
    with pytest.raises(ValueError, match="between 0 and 1"):
        quantile_sample_needed(1.0)


@given(st.sampled_from([0.5, 0.9, 0.95, 0.99]), st.integers(1, 400))
@settings(deadline=None)
def test_ranks_enclose_the_quantile_and_are_as_close_as_they_may_be(quantile: float, images: int) -> None:
    rank, lower, upper = quantile_ranks(quantile, images)
    # The smallest rank with at least the quantile's share at or below it, in decimal arithmetic.
    assert rank == math.ceil(Fraction(repr(quantile)) * images)
    below = stats.binom(images, quantile)
    if lower is not None:
        assert lower <= rank
        assert below.cdf(lower - 1) <= 0.025
    assert below.cdf(lower or 0) > 0.025
    if upper is not None:
        assert rank <= upper <= images
        assert below.sf(upper - 1) <= 0.025 + 1e-12
        assert below.sf(upper - 2) > 0.025
    else:
        assert below.sf(images - 1) > 0.025


def test_enclosed_quantiles_hold_the_true_one_in_at_least_95_percent_of_samples() -> None:
    rng = np.random.default_rng(1)
    _, lower, upper = quantile_ranks(0.95, 300)
    assert lower is not None
    assert upper is not None
    samples = np.sort(rng.exponential(size=(4000, 300)), axis=1)
    truth = -math.log(0.05)
    held = np.mean((samples[:, lower - 1] <= truth) & (truth <= samples[:, upper - 1]))
    assert 0.94 < held <= 0.99

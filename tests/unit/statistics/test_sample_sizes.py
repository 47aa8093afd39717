"""Comparison with a limit, sample sizes and precision, against scipy.stats."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from starlight_exporter.statistics.intervals import proportion
from starlight_exporter.statistics.sample_sizes import (
    LimitComparison,
    LimitResult,
    RequiredSide,
    compare_with_limit,
    images_needed_to_confirm,
    precision,
)


@pytest.mark.parametrize(
    ("count", "total", "limit", "required", "expected"),
    [
        (0, 10_000, 0.0005, "below", "pass"),
        (0, 1_000, 0.0005, "below", "inconclusive"),
        (30, 10_000, 0.0005, "below", "fail"),
        (1, 1_000, 0.0005, "below", "inconclusive"),
        (400, 400, 0.99, "above", "pass"),
        (100, 100, 0.99, "above", "inconclusive"),
        (300, 400, 0.95, "above", "fail"),
        (0, 0, 0.95, "above", "not measured"),
    ],
)
def test_result_is_conclusive_only_if_the_interval_excludes_the_limit(
    count: int, total: int, limit: float, required: RequiredSide, expected: LimitResult
) -> None:
    assert compare_with_limit(proportion(count, total), limit, required).result == expected


def test_additional_images_are_those_that_make_the_result_conclusive() -> None:
    comparison = compare_with_limit(proportion(0, 1_000), 0.0005, "below")
    assert comparison.more_images == images_needed_to_confirm(0.0005) - 1_000
    # Two in a thousand against one in a thousand, by an independent implementation on whole counts.
    more = compare_with_limit(proportion(2, 1_000), 0.001, "below").more_images
    assert more is not None
    for factor, conclusive in ((1.1, True), (0.9, False)):
        images = round((1_000 + more) * factor)
        low = stats.binomtest(round(0.002 * images), images).proportion_ci(0.95, "exact").low
        assert bool(low > 0.001) is conclusive


def test_rate_equal_to_its_limit_is_inconclusive_at_every_sample_size() -> None:
    assert compare_with_limit(proportion(5, 10_000), 0.0005, "below") == LimitComparison("inconclusive", None)


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
def test_rejects_a_target_outside_the_open_interval(target: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        images_needed_to_confirm(target)


def test_precision_at_a_prevalence() -> None:
    # 985 of 1,000 detected, 7 of 10,000 false positives, one stego image in 10,000.
    found = precision(proportion(7, 10_000), proportion(985, 1_000), 0.0001)
    assert found is not None
    assert found.value == pytest.approx(0.985e-4 / (0.985e-4 + 0.0007 * 0.9999))
    low = stats.binomtest(985, 1_000).proportion_ci(0.975, "exact").low
    high = stats.binomtest(7, 10_000).proportion_ci(0.975, "exact").high
    assert found.lower == pytest.approx(low * 1e-4 / (low * 1e-4 + high * 0.9999))
    assert found.value is not None
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower < found.value < found.upper < 1


def test_precision_of_models_without_positive_or_without_wrong_verdicts() -> None:
    never = precision(proportion(0, 100), proportion(0, 100), 0.5)
    assert never is not None
    assert (never.value, never.lower, never.upper) == (None, 0.0, 1.0)
    perfect = precision(proportion(0, 100), proportion(100, 100), 0.5)
    assert perfect is not None
    assert perfect.value == perfect.upper == 1.0
    assert 0.9 < perfect.lower < 1.0


def test_precision_needs_a_measured_rate_and_a_prevalence_inside_the_open_interval() -> None:
    assert precision(proportion(0, 0), proportion(1, 2), 0.5) is None
    with pytest.raises(ValueError, match="prevalence"):
        precision(proportion(0, 1), proportion(1, 2), 0.0)

"""Sample sizes and precision, against scipy.stats."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from starlight_exporter.statistics.clustered import ClusterCounts, clustered_proportion, effective_sample_size
from starlight_exporter.statistics.intervals import proportion
from starlight_exporter.statistics.sample_sizes import (
    SampleSize,
    images_needed_to_confirm,
    precision,
    sample_for_conclusion,
)


@pytest.mark.parametrize(
    ("count", "total", "limit", "inconclusive"),
    [
        (0, 10_000, 0.0005, False),
        (0, 1_000, 0.0005, True),
        (30, 10_000, 0.0005, False),
        (1, 1_000, 0.0005, True),
        (400, 400, 0.99, False),
        (100, 100, 0.99, True),
        (300, 400, 0.95, False),
        (0, 0, 0.95, False),
    ],
)
def test_sample_is_larger_unless_the_interval_excludes_the_limit(
    count: int, total: int, limit: float, inconclusive: bool
) -> None:
    sample = sample_for_conclusion(proportion(count, total), limit)
    assert (sample is not None and sample.images > total) == inconclusive


def test_without_failures_the_sample_size_is_the_one_that_confirms_the_limit() -> None:
    assert sample_for_conclusion(proportion(0, 1_000), 0.0005) == SampleSize(images_needed_to_confirm(0.0005))
    assert sample_for_conclusion(proportion(160, 160), 0.99) == SampleSize(368)


@pytest.mark.parametrize(
    ("count", "total", "limit"), [(2, 1_000, 0.001), (1, 1_000, 0.005), (150, 160, 0.95), (12, 1_000, 0.01)]
)
def test_sample_size_gives_a_conclusion_with_80_percent_power(count: int, total: int, limit: float) -> None:
    sample = sample_for_conclusion(proportion(count, total), limit)
    assert sample is not None
    assert 0.8 <= probability_of_conclusion(sample.images, (count + 0.5) / (total + 1), limit) < 0.87


@pytest.mark.parametrize(("events", "limit"), [(0, 0.0005), (6, 0.99)])
def test_without_failures_the_sample_size_counts_covers(events: int, limit: float) -> None:
    # 300 covers of 6 files each are worth 300 images: no file differs from the others of its cover.
    rate = clustered_proportion(ClusterCounts.of([6] * 300, [events] * 300))
    covers = images_needed_to_confirm(min(limit, 1 - limit))
    assert sample_for_conclusion(rate, limit) == SampleSize(6 * covers, covers)


def test_sample_size_of_shared_covers_has_the_power_of_the_effective_sample() -> None:
    counts = ClusterCounts.of([6] * 300, [6] * 9 + [2] * 3 + [0] * 288)
    size = effective_sample_size(counts)
    assert size is not None
    assert size < 600
    sample = sample_for_conclusion(clustered_proportion(counts), 0.05)
    assert sample is not None
    assert sample.covers is not None
    assert sample.images == pytest.approx(6 * sample.covers, abs=6)
    effective = math.floor(sample.covers * size / 300)
    assert 0.8 <= probability_of_conclusion(effective, (60 / 1_800 * size + 0.5) / (size + 1), 0.05) < 0.87


def probability_of_conclusion(images: int, rate: float, limit: float) -> float:
    """Return the probability of the counts whose interval excludes the limit, by an independent implementation."""
    counts = np.arange(images + 1)
    lower = stats.beta.ppf(0.025, counts, images - counts + 1)
    upper = stats.beta.ppf(0.975, counts + 1, images - counts)
    conclusive = (lower > limit) if rate > limit else (upper < limit)
    return float(stats.binom.pmf(counts, images, rate)[conclusive].sum())


def test_rate_close_to_its_limit_has_no_practical_sample_size() -> None:
    assert sample_for_conclusion(proportion(50, 100_000), 0.0005) is None


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

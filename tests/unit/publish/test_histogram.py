"""The cumulative latency histogram."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from starlight_exporter.evaluation.latency import LATENCY_BUCKETS
from starlight_exporter.evaluation.results import LATENCY_STAGES, LatencyObservations
from starlight_exporter.publish.histogram import LatencyHistogram


def observations(*seconds: float) -> LatencyObservations:
    values = np.array(seconds, dtype=np.float64)
    return LatencyObservations(dict.fromkeys(LATENCY_STAGES, values), values)


def test_buckets_are_fine_around_the_limit() -> None:
    assert list(LATENCY_BUCKETS) == sorted(set(LATENCY_BUCKETS))
    assert 0.005 in LATENCY_BUCKETS
    inside = [bound for bound in LATENCY_BUCKETS if 0.001 <= bound <= 0.02]
    assert inside[0] == 0.001
    assert inside[-1] == 0.02
    assert all(after / before <= 1.1 + 1e-9 for before, after in pairwise(inside))


def test_empty_histogram_has_every_stage_at_zero() -> None:
    histogram = LatencyHistogram.empty()
    assert set(histogram.stages) == set(LATENCY_STAGES)
    assert all(sum(stage.counts) == 0 and stage.sum_seconds == 0.0 for stage in histogram.stages.values())


def test_value_equal_to_a_bound_is_in_its_bucket() -> None:
    place = LATENCY_BUCKETS.index(0.005)
    counts = LatencyHistogram.empty().add(observations(0.005, np.nextafter(0.005, 1.0), 1e9)).stages["total"].counts
    assert counts[place] == 1
    assert counts[place + 1] == 1
    assert counts[-1] == 1


def test_add_does_not_change_the_old_histogram() -> None:
    before = LatencyHistogram.empty().add(observations(0.001))
    after = before.add(observations(0.002, 0.003))
    assert sum(before.stages["read"].counts) == 1
    assert sum(after.stages["read"].counts) == 3
    assert after.stages["read"].sum_seconds == pytest.approx(0.006)


def test_stages_without_timings_are_kept() -> None:
    histogram = LatencyHistogram.empty().add(LatencyObservations({"read": np.array([0.001])}, np.array([0.001])))
    assert sum(histogram.stages["read"].counts) == 1
    assert sum(histogram.stages["total"].counts) == 0


@given(st.lists(st.floats(0.0, 100.0), max_size=50))
def test_cumulative_counts_equal_values_up_to_the_bound(seconds: list[float]) -> None:
    stage = LatencyHistogram.empty().add(observations(*seconds)).stages["decode"]
    for place, bound in enumerate(LATENCY_BUCKETS):
        assert sum(stage.counts[: place + 1]) == sum(value <= bound for value in seconds)
    assert sum(stage.counts) == len(seconds)
    assert stage.sum_seconds == pytest.approx(sum(seconds))

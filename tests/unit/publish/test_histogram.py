"""The cumulative latency histogram."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from starlight_exporter.evaluation.latency import LATENCY_BUCKETS
from starlight_exporter.evaluation.results import LATENCY_STAGES, LatencyObservations
from starlight_exporter.publish.collector import StarlightCollector
from starlight_exporter.publish.exposition import openmetrics_text
from starlight_exporter.publish.families.latency import EXEMPLAR_CHARACTERS
from starlight_exporter.publish.histogram import LatencyHistogram, TimedEvaluation
from starlight_exporter.publish.snapshot import ModelState
from starlight_exporter.web.pages.links import image
from support.snapshots import empty_snapshot


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


EVALUATION = "20261124T033210Z-0123abcd"


def timed_run(seconds: Mapping[str, float], numbers: Mapping[str, int] | None = None) -> LatencyHistogram:
    """Return a histogram of one latency run of images with these paths; by default numbered from 0."""
    known = dict(zip(seconds, range(len(seconds)), strict=True)) if numbers is None else numbers
    run = replace(observations(*seconds.values()), paths=tuple(seconds))
    return LatencyHistogram.empty().add(run, TimedEvaluation(EVALUATION, 1_700_000_000.25, known))


def bucket(seconds: float) -> int:
    return int(np.searchsorted(LATENCY_BUCKETS, seconds))


def test_slowest_image_of_each_slow_bucket_is_kept() -> None:
    fast = {f"clean/{number}.png": 0.002 for number in range(95)}
    slow = {"clean/a.png": 0.03, "clean/b.png": 0.0311, "clean/c.png": 0.0305, "clean/d.png": 11.0, "clean/e.png": 12.0}
    found = timed_run(fast | slow).stages["total"].slowest
    assert {place: (one.number, one.seconds) for place, one in found.items()} == {
        bucket(0.03): (95, 0.03),
        bucket(0.0311): (96, 0.0311),
        len(LATENCY_BUCKETS): (99, 12.0),
    }
    assert not timed_run(fast | slow).stages["inference"].slowest


def test_slow_images_of_earlier_runs_are_kept_until_their_bucket_has_another() -> None:
    histogram = timed_run({"a": 0.01}).add(
        replace(observations(0.02), paths=("b",)), TimedEvaluation("other", 0.0, {"b": 7})
    )
    assert {place: one.evaluation for place, one in histogram.stages["total"].slowest.items()} == {
        bucket(0.01): EVALUATION,
        bucket(0.02): "other",
    }


def test_images_without_a_page_are_left_out() -> None:
    assert not timed_run({"a": 0.01}, numbers={}).stages["total"].slowest
    assert not LatencyHistogram.empty().add(observations(0.01)).stages["total"].slowest


@pytest.mark.parametrize("external_url", ["https://example.org/starlight/", "", f"https://{60 * 'a'}.example/"])
def test_exemplar_has_the_image_and_the_url_of_its_page(external_url: str) -> None:
    snapshot = empty_snapshot()
    model = ModelState("production", "production", "model.onnx", "plain", latency=timed_run({"a": 0.01, "b": 0.02}))
    snapshot = replace(snapshot, build=replace(snapshot.build, external_url=external_url)).with_model(model)
    text = openmetrics_text(StarlightCollector(lambda: snapshot).collect()).decode()
    exemplars = [
        sample.exemplar
        for family in text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar is not None
    ]
    assert len(exemplars) == 1
    labels = {"image": f"{EVALUATION}/1"}
    page = f"{external_url}{image(EVALUATION, 1)}".replace("//evaluations", "/evaluations")
    if external_url and len(external_url) < 50:
        labels["url"] = page
    assert exemplars[0].labels == labels
    assert sum(len(name) + len(value) for name, value in labels.items()) <= EXEMPLAR_CHARACTERS
    assert exemplars[0].value == 0.02
    # The same at every scrape, so that Prometheus stores it once.
    assert float(exemplars[0].timestamp) == 1_700_000_000.25

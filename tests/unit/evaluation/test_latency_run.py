"""Latency: exact order statistics, left out where the sample is too small, and a histogram fine enough."""

from __future__ import annotations

import gc
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from starlight_exporter.dataset.layout import scan
from starlight_exporter.detector.decision import PLAIN
from starlight_exporter.detector.model import Detector
from starlight_exporter.evaluation.latency import LATENCY_BUCKETS, measure_latency, summarise
from starlight_exporter.evaluation.measurement import Measurement
from starlight_exporter.evaluation.request import RunLimits
from starlight_exporter.evaluation.results import STAGES, LatencySummary


def summary_of(milliseconds: list[int]) -> LatencySummary:
    seconds = np.array(milliseconds, dtype=np.float64) / 1000
    return summarise(dict.fromkeys(STAGES, seconds))


def quantiles(summary: LatencySummary) -> dict[float, float]:
    return {entry.quantile: entry.seconds for entry in summary.quantiles}


def test_quantiles_are_values_of_the_sample() -> None:
    shuffled = np.random.default_rng(0).permutation(np.arange(1, 1001)).tolist()
    assert quantiles(summary_of(shuffled)) == {0.5: 0.5, 0.95: 0.95, 0.99: 0.99}


@pytest.mark.parametrize(
    ("images", "present"),
    [(1, []), (4, []), (5, [0.5]), (58, [0.5]), (59, [0.5, 0.95]), (298, [0.5, 0.95]), (299, [0.5, 0.95, 0.99])],
)
def test_a_quantile_needs_its_sample(images: int, present: list[float]) -> None:
    assert list(quantiles(summary_of(list(range(1, images + 1))))) == present


def test_bounds_enclose_and_are_none_where_the_sample_is_too_small() -> None:
    small, large = summary_of(list(range(1, 301))), summary_of(list(range(1, 1001)))
    assert small.quantiles[2].upper is None
    assert small.quantiles[2].lower is not None
    for entry in large.quantiles:
        assert entry.lower is not None
        assert entry.upper is not None
        assert entry.lower < entry.seconds < entry.upper


def test_means_and_throughput() -> None:
    summary = summary_of([1, 2, 3, 4])
    assert summary.images == 4
    assert summary.stage_means == dict.fromkeys(STAGES, 0.0025)
    assert summary.throughput == pytest.approx(400.0)
    with pytest.raises(ValueError, match="no timings"):
        summary_of([])


def test_buckets_are_fine_where_the_limit_is() -> None:
    assert list(LATENCY_BUCKETS) == sorted(set(LATENCY_BUCKETS))
    assert {0.001, 0.005, 0.02} <= set(LATENCY_BUCKETS)
    fine = [bound for bound in LATENCY_BUCKETS if 0.001 <= bound <= 0.02]
    assert max(b / a for a, b in pairwise(fine)) <= 1.1
    assert LATENCY_BUCKETS[-1] >= 10
    assert math.isfinite(LATENCY_BUCKETS[-1])


@pytest.fixture
def measurement(model_path: Path, dataset_root: Path) -> Measurement:
    return Measurement(Detector.load(model_path), PLAIN, dataset_root, RunLimits())


def test_a_seeded_sample_is_timed_stage_by_stage(measurement: Measurement, dataset_root: Path) -> None:
    files = scan("drawn", dataset_root).files
    steps: list[tuple[int, int]] = []
    result = measure_latency(measurement, files, sample=30, seed=5, progress=lambda *step: steps.append(step))
    assert result is not None
    summary, observed = result
    assert summary.images == 30
    assert steps == [(done, 30) for done in range(1, 31)]
    assert set(observed.seconds) == set(STAGES)
    for values in observed.seconds.values():
        assert values.shape == (30,)
        assert (values > 0).all()
    parts = sum(observed.seconds[stage] for stage in STAGES if stage != "total")
    assert np.allclose(parts, observed.seconds["total"], rtol=0.2, atol=1e-4)
    assert (parts <= observed.seconds["total"] + 1e-9).all()


def test_a_sample_is_never_larger_than_what_there_is(measurement: Measurement, dataset_root: Path) -> None:
    files = scan("drawn", dataset_root).files[:7]
    result = measure_latency(measurement, files, sample=1000, seed=0, progress=lambda *_: None)
    assert result is not None
    assert result[0].images == 7
    assert measure_latency(measurement, (), sample=1000, seed=0, progress=lambda *_: None) is None
    assert measure_latency(measurement, files, sample=0, seed=0, progress=lambda *_: None) is None


def test_files_that_vanish_are_left_out(measurement: Measurement, dataset_root: Path, tmp_path: Path) -> None:
    files = scan("drawn", dataset_root).files[:3]
    elsewhere = Measurement(measurement._detector, PLAIN, tmp_path, RunLimits())
    assert measure_latency(elsewhere, files, sample=3, seed=0, progress=lambda *_: None) is None


def test_the_collector_is_back_after_a_run_that_fails(measurement: Measurement, dataset_root: Path) -> None:
    def fail(_done: int, _total: int) -> None:
        assert not gc.isenabled()
        raise InterruptedError

    assert gc.isenabled()
    files = scan("drawn", dataset_root).files
    with pytest.raises(InterruptedError):
        measure_latency(measurement, files, sample=5, seed=0, progress=fail)
    assert gc.isenabled()

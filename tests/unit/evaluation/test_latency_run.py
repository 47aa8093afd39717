"""Latency run: exact order statistics, minimum sample sizes, histogram buckets."""

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
from starlight_exporter.evaluation.request import RunLimits
from starlight_exporter.evaluation.results import LATENCY_STAGES, LatencyObservations, LatencySummary
from starlight_exporter.evaluation.timing import TimedDetector


def summary_of(milliseconds: list[int]) -> LatencySummary:
    seconds = np.array(milliseconds, dtype=np.float64) / 1000
    return summarise(LatencyObservations(dict.fromkeys(LATENCY_STAGES, seconds), seconds * 0.75))


def quantiles(summary: LatencySummary) -> dict[float, float]:
    return {entry.quantile: entry.seconds for entry in summary.quantiles}


def test_quantiles_are_order_statistics() -> None:
    shuffled = np.random.default_rng(0).permutation(np.arange(1, 1001)).tolist()
    assert quantiles(summary_of(shuffled)) == {0.5: 0.5, 0.95: 0.95, 0.99: 0.99}


@pytest.mark.parametrize(
    ("images", "present"),
    [(1, []), (4, []), (5, [0.5]), (58, [0.5]), (59, [0.5, 0.95]), (298, [0.5, 0.95]), (299, [0.5, 0.95, 0.99])],
)
def test_omits_quantiles_if_the_sample_is_too_small(images: int, present: list[float]) -> None:
    assert list(quantiles(summary_of(list(range(1, images + 1))))) == present


def test_bounds_enclose_the_quantile_or_are_none() -> None:
    small, large = summary_of(list(range(1, 301))), summary_of(list(range(1, 1001)))
    assert small.quantiles[2].upper is None
    assert small.quantiles[2].lower is not None
    for entry in large.quantiles:
        assert entry.lower is not None
        assert entry.upper is not None
        assert entry.lower < entry.seconds < entry.upper


def test_stage_means_and_throughput() -> None:
    summary = summary_of([1, 2, 3, 4])
    assert summary.images == 4
    assert summary.stage_means == dict.fromkeys(LATENCY_STAGES, 0.0025)
    assert summary.throughput == pytest.approx(400.0)
    assert summary.contention == pytest.approx(0.25)
    with pytest.raises(ValueError, match="no timings"):
        summary_of([])


def test_buckets_are_fine_around_the_limit() -> None:
    assert list(LATENCY_BUCKETS) == sorted(set(LATENCY_BUCKETS))
    assert {0.001, 0.005, 0.02} <= set(LATENCY_BUCKETS)
    fine = [bound for bound in LATENCY_BUCKETS if 0.001 <= bound <= 0.02]
    assert max(b / a for a, b in pairwise(fine)) <= 1.1
    assert LATENCY_BUCKETS[-1] >= 10
    assert math.isfinite(LATENCY_BUCKETS[-1])


@pytest.fixture
def detector(model_path: Path, dataset_root: Path) -> TimedDetector:
    return TimedDetector(Detector.load(model_path), PLAIN, dataset_root, RunLimits())


def test_times_every_stage_of_a_seeded_sample(detector: TimedDetector, dataset_root: Path) -> None:
    files = scan("generated", dataset_root).files
    steps: list[tuple[int, int]] = []
    observed = measure_latency(detector, files, sample=30, seed=5, progress=lambda *step: steps.append(step))
    assert observed is not None
    assert summarise(observed).images == 30
    assert steps == [(done, 30) for done in range(1, 31)]
    assert set(observed.seconds) == set(LATENCY_STAGES)
    for values in observed.seconds.values():
        assert values.shape == (30,)
        assert (values > 0).all()
    parts = sum(observed.seconds[stage] for stage in LATENCY_STAGES if stage != "total")
    assert np.allclose(parts, observed.seconds["total"], rtol=0.2, atol=1e-4)
    assert (parts <= observed.seconds["total"] + 1e-9).all()
    assert observed.cpu.shape == (30,)
    assert (observed.cpu > 0).all()
    assert (observed.cpu <= observed.seconds["total"]).all()
    assert len(set(observed.paths)) == 30
    assert set(observed.paths) <= {file.path for file in files}


@pytest.mark.slow
def test_sample_is_limited_to_the_measured_files(detector: TimedDetector, dataset_root: Path) -> None:
    files = scan("generated", dataset_root).files[:7]
    observed = measure_latency(detector, files, sample=1000, seed=0, progress=lambda *_: None)
    assert observed is not None
    assert summarise(observed).images == 7
    assert measure_latency(detector, (), sample=1000, seed=0, progress=lambda *_: None) is None
    assert measure_latency(detector, files, sample=0, seed=0, progress=lambda *_: None) is None


@pytest.mark.slow
def test_deleted_files_are_omitted(detector: TimedDetector, dataset_root: Path, tmp_path: Path) -> None:
    files = scan("generated", dataset_root).files[:3]
    elsewhere = TimedDetector(detector._detector, PLAIN, tmp_path, RunLimits())
    assert measure_latency(elsewhere, files, sample=3, seed=0, progress=lambda *_: None) is None


@pytest.mark.slow
def test_garbage_collection_is_enabled_again_after_an_error(detector: TimedDetector, dataset_root: Path) -> None:
    def fail(_done: int, _total: int) -> None:
        assert not gc.isenabled()
        raise InterruptedError

    assert gc.isenabled()
    files = scan("generated", dataset_root).files
    with pytest.raises(InterruptedError):
        measure_latency(detector, files, sample=5, seed=0, progress=fail)
    assert gc.isenabled()

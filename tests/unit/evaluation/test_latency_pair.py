"""Paired latency run: two models take turns on the same images, equally often."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from starlight_exporter.dataset.layout import scan
from starlight_exporter.detector.decision import PLAIN
from starlight_exporter.detector.model import Detector
from starlight_exporter.evaluation import latency
from starlight_exporter.evaluation.latency import (
    WARM_UP_CALLS,
    PairedTimings,
    measure_latency,
    measure_latency_pair,
    repeats_needed,
)
from starlight_exporter.evaluation.request import RunLimits
from starlight_exporter.evaluation.timing import TimedDetector, TimedFile, TimedVerdict
from starlight_exporter.statistics.latency_ratio import latency_ratio
from support.slowed_detector import SlowedTimedDetector

Call = tuple[str, str]


class RecordedDetector(TimedDetector):
    """A timed detector that appends its name and the file to a list of calls."""

    def __init__(self, name: str, model: Path, root: Path, calls: list[Call]) -> None:
        super().__init__(Detector.load(model), PLAIN, root, RunLimits())
        self._name = name
        self._calls = calls

    def read(self, file: TimedFile) -> None:
        self._calls.append(("read", file.path))
        super().read(file)

    def measure(self, file: TimedFile) -> TimedVerdict:
        self._calls.append((self._name, file.path))
        return super().measure(file)


def run(
    model_path: Path, root: Path, *, images: int, sample: int, seed: int = 0, baseline_root: Path | None = None
) -> tuple[PairedTimings, list[Call]]:
    """Return the timings of the first images of a dataset, and the calls in order."""
    calls: list[Call] = []
    pair = measure_latency_pair(
        RecordedDetector("model", model_path, root, calls),
        RecordedDetector("baseline", model_path, baseline_root or root, calls),
        scan("generated", root).files[:images],
        sample=sample,
        seed=seed,
        progress=lambda *_: None,
    )
    return pair, calls


def timed(calls: list[Call]) -> list[Call]:
    """Return the calls after reading and warm-up."""
    return [call for call in calls if call[0] != "read"][2 * WARM_UP_CALLS :]


def turns(calls: list[Call]) -> list[tuple[Call, Call]]:
    """Return the timed calls in pairs."""
    return list(zip(timed(calls)[::2], timed(calls)[1::2], strict=True))


def test_both_models_process_an_image_before_the_next_one(model_path: Path, dataset_root: Path) -> None:
    pair, calls = run(model_path, dataset_root, images=12, sample=30)
    assert pair.model.wall.shape == pair.baseline.wall.shape == (12, 3)
    assert pair.model.cpu.shape == pair.baseline.cpu.shape == (12, 3)
    assert len(turns(calls)) == 12 * 3
    for first, second in turns(calls):
        assert {first[0], second[0]} == {"model", "baseline"}
        assert first[1] == second[1]
    # Whole rounds: no image is repeated before all others were timed.
    paths = [first[1] for first, _ in turns(calls)]
    assert paths[:12] == paths[12:24] == paths[24:]
    assert len(set(paths)) == 12


@pytest.mark.slow
def test_models_start_equally_often_in_an_order_that_the_seed_determines(model_path: Path, dataset_root: Path) -> None:
    def first_models(seed: int) -> list[str]:
        _, calls = run(model_path, dataset_root, images=20, sample=80, seed=seed)
        return [first[0] for first, _ in turns(calls)]

    one = first_models(1)
    assert one == first_models(1)
    assert one != first_models(2)
    assert 20 < Counter(one)["model"] < 60


def test_files_are_read_before_ten_warm_up_calls_of_each_model(model_path: Path, dataset_root: Path) -> None:
    _, calls = run(model_path, dataset_root, images=4, sample=4)
    assert [name for name, _ in calls[:4]] == ["read"] * 4
    assert {path for _, path in calls[:4]} == {path for _, path in calls[4:]}
    assert Counter(name for name, _ in calls[4 : 4 + 2 * WARM_UP_CALLS]) == {"model": 10, "baseline": 10}
    assert Counter(name for name, _ in calls) == {"read": 4, "model": 14, "baseline": 14}


@pytest.mark.parametrize(
    ("sample", "images", "repeats"), [(1000, 1000, 1), (1000, 92, 11), (1000, 999, 2), (5, 5, 1), (0, 0, 0), (3, 1, 3)]
)
def test_images_are_repeated_until_the_sample_is_complete(sample: int, images: int, repeats: int) -> None:
    assert repeats_needed(sample, images) == repeats
    assert images * repeats >= sample


def test_sample_smaller_than_the_dataset_is_that_of_a_single_run(model_path: Path, dataset_root: Path) -> None:
    _, calls = run(model_path, dataset_root, images=40, sample=7, seed=3)
    single: list[Call] = []
    detector = RecordedDetector("model", model_path, dataset_root, single)
    files = scan("generated", dataset_root).files[:40]
    measure_latency(detector, files, sample=7, seed=3, progress=lambda *_: None)
    own = [path for name, path in timed(calls) if name == "model"]
    assert own == [path for name, path in single if name != "read"][WARM_UP_CALLS:]
    assert len(own) == 7


def test_summary_has_the_first_timing_of_every_image(model_path: Path, dataset_root: Path) -> None:
    pair, _ = run(model_path, dataset_root, images=5, sample=20)
    assert pair.observations is not None
    assert pair.observations.seconds["total"].tolist() == pair.model.wall[:, 0].tolist()
    assert pair.observations.cpu.tolist() == pair.model.cpu[:, 0].tolist()
    assert pair.model.wall.shape == (5, 4)


@pytest.mark.slow
def test_image_that_the_baseline_cannot_process_is_left_out_of_both(
    model_path: Path, dataset_root: Path, tmp_path: Path
) -> None:
    shutil.copytree(dataset_root, tmp_path / "images")
    files = scan("generated", dataset_root).files[:6]
    (tmp_path / "images" / files[2].path).unlink()
    pair, calls = run(model_path, dataset_root, images=6, sample=18, baseline_root=tmp_path / "images")
    assert pair.model.wall.shape == pair.baseline.wall.shape == (5, 3)
    # Timed once for the summary of the model, but not repeated.
    assert pair.observations is not None
    assert pair.observations.cpu.shape == (6,)
    assert Counter(timed(calls))["model", files[2].path] == 1
    assert Counter(timed(calls))["model", files[3].path] == 3


def test_no_common_image_gives_no_timings(model_path: Path, dataset_root: Path, tmp_path: Path) -> None:
    pair, _ = run(model_path, dataset_root, images=3, sample=3, baseline_root=tmp_path)
    assert pair.model.wall.size == pair.baseline.cpu.size == 0
    assert pair.observations is not None
    nothing, calls = run(model_path, dataset_root, images=0, sample=3)
    assert nothing.observations is None
    assert calls == []


def test_long_runs_are_not_repeated(model_path: Path, dataset_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "REPEAT_SECONDS", 0.0)
    pair, _ = run(model_path, dataset_root, images=6, sample=60)
    assert pair.model.wall.shape == pair.baseline.wall.shape == (6, 1)


def test_progress_counts_the_calls_of_both_models(model_path: Path, dataset_root: Path) -> None:
    detector = TimedDetector(Detector.load(model_path), PLAIN, dataset_root, RunLimits())
    steps: list[tuple[int, int]] = []
    files = scan("generated", dataset_root).files[:3]
    measure_latency_pair(
        detector, detector, files, sample=6, seed=0, progress=lambda done, total: steps.append((done, total))
    )
    assert steps == [(done, 12) for done in range(2, 13, 2)]


@pytest.mark.slow
@pytest.mark.parametrize(("factor", "significant"), [(1.0, False), (1.5, True)])
def test_additional_cpu_time_is_significant(
    model_path: Path, dataset_root: Path, factor: float, significant: bool
) -> None:
    pair = measure_latency_pair(
        SlowedTimedDetector(model_path, PLAIN, dataset_root, factor=factor),
        SlowedTimedDetector(model_path, PLAIN, dataset_root, factor=1.0),
        scan("generated", dataset_root).files[:40],
        sample=1000,
        seed=0,
        progress=lambda *_: None,
    )
    found = latency_ratio(pair.model, pair.baseline, baseline_sha256="", seed=0)
    assert found.timings == 1000
    assert found.enough
    assert found.exceeds(1.2) is significant
    assert found.cpu.value == pytest.approx(factor, abs=0.2)
    assert np.isfinite(found.contention)

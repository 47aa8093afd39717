"""Latency pass of a run: time a sample of the measured images, alternately with the baseline model if there is one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final, overload

import numpy as np

from starlight_exporter.activity import Activity
from starlight_exporter.dataset.found_files import FoundFiles
from starlight_exporter.detector.model import Detector
from starlight_exporter.errors import ModelError
from starlight_exporter.evaluation.applied_rule import applied_rule
from starlight_exporter.evaluation.latency import measure_latency, measure_latency_pair, repeats_needed, sampled_files
from starlight_exporter.evaluation.local_copies import local_copies
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.progress import Progress
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.results import LatencyObservations, Prediction
from starlight_exporter.evaluation.timing import TimedDetector, TimedFile
from starlight_exporter.statistics.latency_ratio import LatencyRatio, latency_ratio

_NOT_COMPARED: Final = "latency not compared with the baseline model"


@dataclass(frozen=True, slots=True)
class LatencyResult:
    """Timings of the model, None if no image was timed, and their ratio to the baseline model's."""

    observations: LatencyObservations | None
    ratio: LatencyRatio | None = None
    warnings: tuple[str, ...] = ()


class MeasuredFiles(Sequence[TimedFile]):
    """The files that were measured, in the order of their predictions; created on access."""

    def __init__(self, predictions: PredictionTable) -> None:
        self._predictions = predictions
        self._numbers = np.flatnonzero(predictions.measured)

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, index: int) -> int:
        """Return the number of a file in the listing."""
        return int(self._numbers[index])

    @overload
    def __getitem__(self, which: int) -> TimedFile: ...

    @overload
    def __getitem__(self, which: slice) -> tuple[TimedFile, ...]: ...

    def __getitem__(self, which: int | slice) -> TimedFile | tuple[TimedFile, ...]:
        """Return one file, or those of a slice."""
        if isinstance(which, slice):
            return tuple(map(_timed_file, self._predictions.rows(self._numbers[which])))
        return _timed_file(self._predictions[int(self._numbers[which])])


@dataclass(frozen=True, slots=True)
class _MeasuredFile:
    path: str
    size_bytes: int


def _timed_file(prediction: Prediction) -> TimedFile:
    return _MeasuredFile(prediction.path, prediction.facts.size_bytes or 0)


def time_sample(
    request: RunRequest,
    detector: Detector,
    files: MeasuredFiles,
    listing: FoundFiles,
    *,
    progress: Progress,
    activity: Activity,
) -> LatencyResult:
    """Time a sample of `files`, which the bulk pass measured, on local copies if `listing` is not of a local folder.

    Without a usable baseline model, the result has a warning instead of a ratio.
    """
    chosen = [listing[files.number(index)] for index in sampled_files(files, request.latency_sample, request.seed)]
    with (
        local_copies(request.dataset_root, chosen, max_file_bytes=request.limits.max_file_bytes)
        if chosen
        else nullcontext(Path())
    ) as root:
        return _time_sample(request, detector, root, files, progress=progress, activity=activity)


def _time_sample(
    request: RunRequest,
    detector: Detector,
    root: Path,
    files: Sequence[TimedFile],
    *,
    progress: Progress,
    activity: Activity,
) -> LatencyResult:
    model = TimedDetector(detector, request.decision, root, request.limits, activity)
    if request.baseline is None or request.latency_sample == 0:
        return LatencyResult(_single_latency(request, model, files, progress))
    try:
        with activity.during("load", str(request.baseline.path)):
            other = Detector.load(request.baseline.path, providers=request.providers)
    except ModelError as error:
        return LatencyResult(
            _single_latency(request, model, files, progress),
            warnings=(f"{_NOT_COMPARED}: {error}",),
        )
    rule = applied_rule(other, request.baseline.decision)
    baseline = TimedDetector(other, rule, root, request.limits, activity)
    pair = measure_latency_pair(
        model, baseline, files, sample=request.latency_sample, seed=request.seed, progress=progress
    )
    if pair.model.wall.size == 0:
        text = f"{_NOT_COMPARED}: {request.baseline.path}: no image was timed with both models"
        return LatencyResult(pair.observations, warnings=(text,))
    try:
        ratio = latency_ratio(pair.model, pair.baseline, baseline_sha256=other.sha256, seed=request.seed)
    except ValueError as error:
        return LatencyResult(pair.observations, warnings=(f"{_NOT_COMPARED}: {error}",))
    return LatencyResult(pair.observations, ratio)


def timed_calls(request: RunRequest, images: int) -> int:
    """Return the number of timed calls that are expected for the progress of the run."""
    chosen = min(request.latency_sample, images)
    if request.baseline is None:
        return chosen
    return 2 * chosen * repeats_needed(request.latency_sample, chosen)


def _single_latency(
    request: RunRequest, model: TimedDetector, files: Sequence[TimedFile], progress: Progress
) -> LatencyObservations | None:
    return measure_latency(model, files, sample=request.latency_sample, seed=request.seed, progress=progress)

"""Functions for worker processes. They import the ONNX runtime and decoders, which the service process never loads."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Final

from starlight_exporter.activity import NO_ACTIVITY, Activity
from starlight_exporter.analysis.stream_effects import AblationStudy
from starlight_exporter.dataset.dataset import ScannedDataset
from starlight_exporter.dataset.rendered_streams import RenderedStreams
from starlight_exporter.dataset.sources.root import DatasetRoot
from starlight_exporter.dataset.sources.shared import SHARED
from starlight_exporter.errors import EvaluationError, StorageError
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.results import Prediction, RunResult
from starlight_exporter.runs.scratch import own_temporary_files, temporary_files_in

THUMBNAILS: Final = 120
"""Misclassified images and alarms with a stored thumbnail, which needs no dataset; others are made on request."""


@dataclass(frozen=True, slots=True)
class Work:
    """A run, the folder for the thumbnails of misclassified images, and the file for the activity of the worker.

    The predictions are written next to the thumbnails. `provisional_file` is written as soon as the provisional result
    is known, or why there is none; a run that was restarted keeps it.
    """

    request: RunRequest
    thumbnails: Path
    activity_file: Path | None = None
    provisional_file: Path | None = None


def evaluate(work: Work) -> RunResult:
    """Run one evaluation and write thumbnails of its errors and alarms. Raises like `evaluation.run.evaluate`.

    A sample of a large dataset is measured first, unless that was done before the run was restarted or interrupted.
    """
    from starlight_exporter.dataset.rendering import write_thumbnails
    from starlight_exporter.evaluation.prediction_table import PREDICTIONS_FILE
    from starlight_exporter.evaluation.run import evaluate as run

    activity, problem = NO_ACTIVITY, ""
    try:
        activity = Activity(work.activity_file)
    except OSError as error:
        # Then a file that ends or blocks the worker is not found.
        problem = f"activity not recorded: {error.strerror or error}"
    # The folder of the run, which is deleted also if this process is killed.
    with temporary_files_in(work.thumbnails.parent):
        after_provisional = _measure_sample_first(work, activity)
        predictions_file = work.thumbnails.with_name(PREDICTIONS_FILE)
        result = run(replace(work.request, predictions_file=predictions_file), activity=activity)
    result = replace(result, evaluation=replace(result.evaluation, after_provisional=after_provisional))
    if problem:
        result = replace(result, warnings=(*result.warnings, problem))
    failed = {fault.path for fault in work.request.faults}
    paths = [path for path in _mixed_slices(result.predictions, THUMBNAILS + len(failed)) if path not in failed]
    try:
        limits = work.request.limits
        write_thumbnails(
            work.request.dataset_root,
            paths[:THUMBNAILS],
            work.thumbnails,
            activity,
            max_bytes=limits.max_file_bytes,
            max_pixels=limits.max_pixels,
        )
    except OSError as error:
        # The result is valid without thumbnails.
        return replace(result, warnings=(*result.warnings, f"no thumbnails: {error.strerror or error}"))
    return result


def _measure_sample_first(work: Work, activity: Activity) -> bool:
    """Write a provisional result if the dataset is large; return whether this evaluation has one.

    A failure costs only the provisional result, and is written instead. An error of model or dataset is raised.
    """
    from starlight_exporter.evaluation.provisional import measure_provisional
    from starlight_exporter.evaluation.provisional_result import (
        ProvisionalFailure,
        ProvisionalResult,
        read_provisional,
        write_provisional,
    )

    provisional, file = work.request.provisional, work.provisional_file
    if provisional is None or file is None:
        return False
    if provisional.is_published:
        return True
    try:
        result = read_provisional(file)
        if result is None:
            result = measure_provisional(work.request, activity)
            if result is not None:
                write_provisional(file, result)
    except (EvaluationError, StorageError) as error:
        result = ProvisionalFailure(str(error))
        # On a full disk, the full pass fails for the same reason.
        with suppress(StorageError):
            write_provisional(file, result)
    return isinstance(result, ProvisionalResult)


def probe(request: RunRequest, path: str, activity_file: Path) -> None:
    """Decode and score one file. Raises ModelError if the model cannot be loaded; an error of the image is ignored."""
    from starlight_exporter.evaluation.probe import probe as decode_and_score

    decode_and_score(request, path, Activity(activity_file))


def ablate(request: RunRequest) -> AblationStudy:
    """Run a stream ablation. Raises like `analysis.ablation_study.ablation_study`."""
    from starlight_exporter.analysis.ablation_study import ablation_study

    with own_temporary_files():
        return ablation_study(request)


def _mixed_slices(predictions: Sequence[Prediction], limit: int) -> list[str]:
    """Return paths of misclassified images and alarms, one of each slice in turn: every filter of the pages shows some.

    At most `limit` paths.
    """
    import numpy as np

    from starlight_exporter.analysis.comparison import noteworthy
    from starlight_exporter.evaluation.prediction_table import PredictionTable

    table = PredictionTable.of(predictions)
    numbers = noteworthy(table).nonzero()[0]
    fields = ("file_class", "method", "category", "image_format")
    codes = np.stack([table.column(field)[numbers] for field in fields], axis=1)
    _, first, place = np.unique(codes, axis=0, return_index=True, return_inverse=True)
    slices = (numbers[place.ravel() == one][:limit].tolist() for one in np.argsort(first))
    chosen = [number for turn in zip_longest(*slices) for number in turn if number is not None]
    return [one.path for one in table.rows(chosen[:limit])]


def render_streams(root: DatasetRoot, path: str, sha256: str, max_bytes: int, max_pixels: int) -> RenderedStreams:
    """Render the streams of an evaluated image. Raises ImageError."""
    from starlight_exporter.dataset import rendering

    return rendering.render_streams(
        SHARED.read_evaluated(root, path, sha256, max_bytes=max_bytes), max_pixels=max_pixels
    )


def thumbnail(root: DatasetRoot, path: str, sha256: str, max_bytes: int, max_pixels: int) -> bytes:
    """Return a small PNG of an evaluated image. Raises ImageError."""
    from starlight_exporter.dataset import rendering

    return rendering.thumbnail(SHARED.read_evaluated(root, path, sha256, max_bytes=max_bytes), max_pixels=max_pixels)


def fingerprint(work: Work) -> ScannedDataset:
    """Scan the dataset of a run and return its fingerprint. Raises DatasetError."""
    from starlight_exporter.evaluation.inputs import scan_dataset

    return scan_dataset(work.request, Activity(work.activity_file))

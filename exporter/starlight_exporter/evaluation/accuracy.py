"""Counts, rates and scores of a set of predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, get_args

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.dataset.dataset import LABELLED_CLASSES
from starlight_exporter.detector.contract import METHODS, ImageFormat, Method
from starlight_exporter.errors import NOT_MEASURED_REASONS, NotMeasuredReason
from starlight_exporter.evaluation.figures import class_scores, scored
from starlight_exporter.evaluation.prediction_arrays import MISSING
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.results import OperatingPoint, Prediction
from starlight_exporter.statistics.clustered import ClusterCounts, clustered_proportion
from starlight_exporter.statistics.intervals import Proportion, proportion
from starlight_exporter.statistics.scores import Scores, expected_calibration_error, log_loss, roc_auc

CLEAN: Final = "clean"
# fmt: off
OPERATING_THRESHOLDS: Final[tuple[float, ...]] = (
    0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999,
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Counts, rates and scores; the fields are those of Evaluation."""

    not_measured: dict[NotMeasuredReason, int]
    clean: Proportion
    clean_by_format: dict[ImageFormat, Proportion]
    negatives: dict[str, Proportion]
    stego: Proportion
    detections: dict[Method, Proportion]
    confusion: dict[str, dict[str, int]]
    roc_auc: float | None
    log_loss: float | None
    expected_calibration_error: float | None
    operating_points: tuple[OperatingPoint, ...]


def accuracy(predictions: Sequence[Prediction]) -> Accuracy:
    """Compute counts, rates and scores. Predictions that were not measured are counted by reason only.

    Images of the class `unlabelled` are in no rate.
    """
    table = PredictionTable.of(predictions)
    missing = np.bincount(table.column("not_measured") + 1, minlength=len(NOT_MEASURED_REASONS) + 1)[1:].tolist()
    clean, stego, negative = (table.equals("file_class", name) for name in LABELLED_CLASSES)
    scores = class_scores(table, np.flatnonzero(scored(table) & (clean | stego)))
    return Accuracy(
        not_measured=dict(zip(NOT_MEASURED_REASONS, missing, strict=True)),
        clean=positive_rate(table, clean),
        clean_by_format={
            name: positive_rate(table, chosen)
            for name in get_args(ImageFormat)
            if (chosen := clean & table.equals("image_format", name)).any()
        },
        negatives={
            name: positive_rate(table, chosen)
            for name in sorted(table.names("category"))
            if (chosen := negative & table.equals("category", name)).any()
        },
        stego=positive_rate(table, stego),
        detections={method: positive_rate(table, stego & table.equals("method", method)) for method in METHODS},
        confusion=_confusion(table, clean | stego),
        roc_auc=roc_auc(scores),
        log_loss=log_loss(scores),
        expected_calibration_error=expected_calibration_error(scores),
        operating_points=tuple(_operating_point(scores, threshold) for threshold in OPERATING_THRESHOLDS),
    )


def positive_rate(table: PredictionTable, chosen: NDArray[np.bool_]) -> Proportion:
    """Return the positive verdicts among the measured images of a mask, with an interval for shared covers."""
    measured = chosen & table.measured
    if not measured.any():
        return proportion(0, 0)
    return clustered_proportion(ClusterCounts.by_cover(table.column("cover")[measured], table.positive[measured]))


def _confusion(table: PredictionTable, chosen: NDArray[np.bool_]) -> dict[str, dict[str, int]]:
    predicted = table.column("predicted_method")
    measured = chosen & table.measured
    if not (predicted[measured] != MISSING).any():
        return {}
    names = (*METHODS, CLEAN)
    known = measured & ((predicted != MISSING) | ~table.positive)
    method = table.column("method")[known]
    actual = np.where(method == MISSING, len(METHODS), method)
    columns = np.where(table.positive, predicted, len(METHODS))[known]
    counts = np.bincount(actual * len(names) + columns, minlength=len(names) ** 2).reshape(len(names), len(names))
    return {name: dict(zip(names, row, strict=True)) for name, row in zip(names, counts.tolist(), strict=True)}


def _operating_point(scores: Scores, threshold: float) -> OperatingPoint:
    positive = scores.probabilities > threshold
    stego = int(np.count_nonzero(scores.is_stego))
    return OperatingPoint(
        threshold=threshold,
        false_positives=proportion(int(np.count_nonzero(positive & ~scores.is_stego)), scores.is_stego.size - stego),
        detections=proportion(int(np.count_nonzero(positive & scores.is_stego)), stego),
    )

"""Counts, rates and scores of a set of predictions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, get_args

import numpy as np

from starlight_exporter.dataset.dataset import FileClass
from starlight_exporter.detector.contract import METHODS, ImageFormat, Method
from starlight_exporter.errors import NOT_MEASURED_REASONS, NotMeasuredReason
from starlight_exporter.evaluation.figures import class_scores, scored
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
    missing = Counter(entry.not_measured for entry in predictions if entry.not_measured is not None)
    by_class: dict[FileClass, list[Prediction]] = {"clean": [], "stego": [], "negative": [], "unlabelled": []}
    for entry in predictions:
        by_class[entry.file_class].append(entry)
    clean, stego, negatives = by_class["clean"], by_class["stego"], by_class["negative"]
    formats = {entry.image_format for entry in clean}
    categories = sorted({entry.category for entry in negatives if entry.category is not None})
    scores = class_scores(scored((*clean, *stego)))
    return Accuracy(
        not_measured={reason: missing[reason] for reason in NOT_MEASURED_REASONS},
        clean=positive_rate(clean),
        clean_by_format={
            name: positive_rate(entry for entry in clean if entry.image_format == name)
            for name in get_args(ImageFormat)
            if name in formats
        },
        negatives={name: positive_rate(entry for entry in negatives if entry.category == name) for name in categories},
        stego=positive_rate(stego),
        detections={method: positive_rate(entry for entry in stego if entry.method == method) for method in METHODS},
        confusion=_confusion((*clean, *stego)),
        roc_auc=roc_auc(scores),
        log_loss=log_loss(scores),
        expected_calibration_error=expected_calibration_error(scores),
        operating_points=tuple(_operating_point(scores, threshold) for threshold in OPERATING_THRESHOLDS),
    )


def positive_rate(entries: Iterable[Prediction]) -> Proportion:
    """Return the positive verdicts among the measured predictions, with an interval that accounts for shared covers."""
    measured = [entry for entry in entries if entry.verdict is not None]
    if not measured:
        return proportion(0, 0)
    return clustered_proportion(
        ClusterCounts.by_cover([entry.cover_key for entry in measured], [entry.verdict is True for entry in measured])
    )


def _confusion(entries: Iterable[Prediction]) -> dict[str, dict[str, int]]:
    measured = [entry for entry in entries if entry.verdict is not None]
    if all(entry.predicted_method is None for entry in measured):
        return {}
    names = (*METHODS, CLEAN)
    counts: dict[str, dict[str, int]] = {actual: dict.fromkeys(names, 0) for actual in names}
    for entry in measured:
        predicted = entry.predicted_method if entry.verdict else CLEAN
        if predicted is not None:
            counts[entry.method or CLEAN][predicted] += 1
    return counts


def _operating_point(scores: Scores, threshold: float) -> OperatingPoint:
    positive = scores.probabilities > threshold
    stego = int(np.count_nonzero(scores.is_stego))
    return OperatingPoint(
        threshold=threshold,
        false_positives=proportion(int(np.count_nonzero(positive & ~scores.is_stego)), scores.is_stego.size - stego),
        detections=proportion(int(np.count_nonzero(positive & scores.is_stego)), stego),
    )

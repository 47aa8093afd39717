"""Minimal results without a run: evaluations with chosen counts, and predictions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlight_exporter.dataset.dataset import DatasetQuality, FileClass
from starlight_exporter.detector.contract import METHODS, ImageFormat, Method
from starlight_exporter.errors import NOT_MEASURED_REASONS, NotMeasuredReason
from starlight_exporter.evaluation.results import (
    Evaluation,
    LatencyQuantile,
    LatencySummary,
    ModelFacts,
    Prediction,
    Provenance,
    RunResult,
)
from starlight_exporter.statistics.intervals import proportion

EMPTY = proportion(0, 0)


def empty_evaluation(**changes: Any) -> Evaluation:
    """Return an Evaluation without measured images; `changes` replace fields."""
    empty = Evaluation(
        id="20260101T000000Z-00000000",
        model="production",
        role="production",
        dataset="reference",
        trigger="test",
        provenance=Provenance("a" * 64, "b" * 64, "probability > 0.5", "0.1.0", "1.0", "2.0", "12.0", 0),
        model_facts=ModelFacts("model.onnx", 1, 1.0, 2.0, ("pixel_tensor",), ("stego_logits",)),
        started_at=10.0,
        finished_at=11.5,
        duration_seconds=1.5,
        images=0,
        images_per_second=0.0,
        not_measured=dict.fromkeys(NOT_MEASURED_REASONS, 0),
        clean=EMPTY,
        clean_by_format={},
        negatives={},
        stego=EMPTY,
        detections=dict.fromkeys(METHODS, EMPTY),
        confusion={},
        roc_auc=None,
        log_loss=None,
        expected_calibration_error=None,
        operating_points=(),
        latency=None,
        quality=DatasetQuality((), {}, None, 2.321928094887362, 0, (), ()),
        training=None,
    )
    return replace(empty, **changes)


def p95_latency(seconds: float, *, lower: float | None = None, upper: float | None = None) -> LatencySummary:
    """Return a latency summary with only a p95."""
    return LatencySummary(1000, (LatencyQuantile(0.95, seconds, lower, upper),), {"total": seconds}, 1 / seconds)


def make_prediction(
    path: str,
    file_class: FileClass = "clean",
    probability: float | None = 0.25,
    *,
    method: Method | None = None,
    category: str | None = None,
    image_format: ImageFormat | None = "png",
    predicted: Method | None = "alpha",
    reason: NotMeasuredReason = "unreadable",
    threshold: float = 0.5,
) -> Prediction:
    """Return a prediction. If the probability is None, it is not measured, for this reason."""
    measured = probability is not None
    return Prediction(
        path=path,
        sha256="c" * 64,
        file_class=file_class,
        method=method,
        category=category,
        image_format=image_format,
        probability=probability,
        predicted_method=predicted if measured else None,
        verdict=None if probability is None else probability > threshold,
        not_measured=None if measured else reason,
        detail="" if measured else f"{path}: why",
        seconds=0.001 if measured else None,
    )


def without_times(result: RunResult) -> tuple[Evaluation, tuple[Prediction, ...]]:
    """Return a result without the values that differ between runs: times, and the id."""
    evaluation = replace(
        result.evaluation,
        id="",
        started_at=0.0,
        finished_at=0.0,
        duration_seconds=0.0,
        images_per_second=0.0,
        latency=None,
        latency_ratio=None,
        model_facts=replace(result.evaluation.model_facts, loaded_at=0.0),
    )
    return evaluation, tuple(replace(entry, seconds=None) for entry in result.predictions)


def not_measured_reasons(result: RunResult) -> dict[str, str]:
    """Return path → reason of the files that were not measured."""
    return {entry.path: entry.not_measured for entry in result.predictions if entry.not_measured is not None}

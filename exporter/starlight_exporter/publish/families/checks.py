"""Metrics of the baseline file and of the regression checks."""

from __future__ import annotations

from collections.abc import Iterator

from starlight_exporter.publish.families.family import FamilyGroup, MetricSample, number_label, optional
from starlight_exporter.publish.snapshot import Snapshot

GROUP = FamilyGroup("Baseline and checks")

_NO_BASELINE = "no baseline is configured, or it does not contain the value"

BASELINE_FALSE_POSITIVES = GROUP.family(
    "baseline_false_positive_ratio",
    "gauge",
    "model",
    "False positive rate in the baseline file.",
    unit="ratio",
    absent=_NO_BASELINE,
)
BASELINE_DETECTIONS = GROUP.family(
    "baseline_detection_ratio",
    "gauge",
    "model method",
    "Detection rate in the baseline file.",
    unit="ratio",
    absent=_NO_BASELINE,
)
BASELINE_LATENCY = GROUP.family(
    "baseline_latency_seconds",
    "summary",
    "model quantile",
    "Latency in the baseline file.",
    unit="seconds",
    absent=_NO_BASELINE,
)
BASELINE_FORMAT_FALSE_POSITIVES = GROUP.family(
    "baseline_format_false_positive_ratio",
    "gauge",
    "model format",
    "False positive rate by format in the baseline file.",
    unit="ratio",
    absent=_NO_BASELINE,
)
REGRESSION_CHECK_PASSED = GROUP.family(
    "regression_check_passed",
    "gauge",
    "model dataset check slice",
    "Whether the value of the last complete evaluation passed this check (1) or failed it (0).",
    absent="an input of the check was not measured",
)


def baseline_samples(snapshot: Snapshot) -> Iterator[MetricSample]:
    """Yield the values of the baseline file of every model that has one."""
    for model in snapshot.models.values():
        baseline = model.baseline
        if baseline is None:
            continue
        yield from optional(BASELINE_FALSE_POSITIVES, (model.name,), baseline.false_positive_ratio)
        for method, ratio in baseline.detection_ratios.items():
            yield MetricSample(BASELINE_DETECTIONS, (model.name, method), ratio)
        for quantile, seconds in baseline.latency_seconds.items():
            yield MetricSample(BASELINE_LATENCY, (model.name, number_label(quantile)), seconds)
        for image_format, ratio in baseline.false_positive_ratio_by_format.items():
            yield MetricSample(BASELINE_FORMAT_FALSE_POSITIVES, (model.name, image_format), ratio)


def check_samples(snapshot: Snapshot) -> Iterator[MetricSample]:
    """Yield the result of every check whose inputs were measured."""
    for (model, dataset), run in snapshot.runs.items():
        for check in run.checks:
            if check.passed is not None:
                labels = (model, dataset, check.name, check.slice)
                yield MetricSample(REGRESSION_CHECK_PASSED, labels, int(check.passed))

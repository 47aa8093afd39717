"""Metrics of the baseline in use and of the regression checks."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from starlight_exporter.publish.families.family import FamilyGroup, MetricSample, number_label, optional
from starlight_exporter.publish.snapshot import Snapshot

GROUP = FamilyGroup("Baseline and checks")

_NO_BASELINE = "there is no comparable baseline, or it does not contain the value"

BASELINE_FALSE_POSITIVES = GROUP.family(
    "baseline_false_positive_ratio",
    "gauge",
    "model dataset",
    "False positive rate of the baseline on the same images.",
    unit="ratio",
    absent=_NO_BASELINE,
)
BASELINE_DETECTIONS = GROUP.family(
    "baseline_detection_ratio",
    "gauge",
    "model dataset method",
    "Detection rate of the baseline on the same images.",
    unit="ratio",
    absent=_NO_BASELINE,
)
BASELINE_LATENCY = GROUP.family(
    "baseline_latency_seconds",
    "summary",
    "model dataset quantile",
    "Latency of the baseline: of its model in its own latency run, or as recorded on this machine.",
    unit="seconds",
    absent=_NO_BASELINE,
)
BASELINE_FORMAT_FALSE_POSITIVES = GROUP.family(
    "baseline_format_false_positive_ratio",
    "gauge",
    "model dataset format",
    "False positive rate by format of the baseline on the same images.",
    unit="ratio",
    absent=_NO_BASELINE,
)
_CHECK = "model dataset check slice"
_NO_RESULT = "the check has no result, or is disabled"

CHECK_LIMIT = GROUP.family(
    "check_limit",
    "gauge",
    _CHECK,
    "Limit in use: a ratio, seconds (latency_limit), or a ratio of two latencies (latency_baseline). Limits that depend"
    " on the baseline contain its value.",
    absent="the limit depends on a baseline that does not exist or is not comparable, or the check is disabled",
)
REGRESSION_CHECK_PASSED = GROUP.family(
    "regression_check_passed",
    "gauge",
    _CHECK,
    "Whether the value of the last complete evaluation passed this check (1) or failed it (0).",
    absent=_NO_RESULT,
)
REGRESSION_CHECK_CONCLUSIVE = GROUP.family(
    "regression_check_conclusive",
    "gauge",
    _CHECK,
    "Whether the result is conclusive (1): a pass whose whole 95% confidence interval is within the limit, or a"
    " significant failure.",
    absent=_NO_RESULT,
)
REGRESSION_CHECK_SIGNIFICANT = GROUP.family(
    "regression_check_significant",
    "gauge",
    _CHECK,
    "Whether the check failed significantly (1): its adjusted p-value is at most 0.01 (0.008 after a provisional"
    " result), or for the latency, both consecutive evaluations are significantly slower than the baseline.",
    absent=_NO_RESULT,
)
REGRESSION_CHECK_P_VALUE = GROUP.family(
    "regression_check_p_value",
    "gauge",
    _CHECK,
    "One-sided p-value of the exact test of an accuracy check, adjusted for all checks of the evaluation (Holm).",
    unit="ratio",
    absent=f"{_NO_RESULT}, the effective sample size or the baseline's verdicts are unknown, or the check is one of"
    " latency",
)
REGRESSION_CHECK_UNAVAILABLE = GROUP.family(
    "regression_check_unavailable",
    "gauge",
    f"{_CHECK} reason",
    "Why a check has no result; always 1. Reasons that start with `different_` mean not comparable, the others not"
    " measured.",
    absent="the check has a result",
)
REGRESSION_CHECK_PAIRED = GROUP.family(
    "regression_check_paired",
    "gauge",
    _CHECK,
    "Whether the p-value compares the verdicts with those of the baseline on the same files (1), or tests the limit"
    " (0).",
    absent="the check has no p-value",
)
CHECK_ALERTS = GROUP.family(
    "check_alerts",
    "gauge",
    _CHECK,
    "Whether a value past the limit raises an alert (1) or not (0): only on a production model and a dataset with"
    " `alerts`, and only if the check is not informational and has a result.",
    absent="until the first complete evaluation, or the check is disabled",
)


def baseline_samples(snapshot: Snapshot) -> Iterator[MetricSample]:
    """Yield the values of the baseline in use on every dataset, as far as they are comparable."""
    for pair, run in snapshot.runs.items():
        baseline = None if run.basis is None else run.basis.baseline
        if baseline is None or baseline.obstacle is not None:
            continue
        yield from optional(BASELINE_FALSE_POSITIVES, pair, _number(baseline.clean))
        for method, ratio in baseline.detections.items():
            yield MetricSample(BASELINE_DETECTIONS, (*pair, method), float(ratio))
        if baseline.latency_obstacle is None:
            for quantile, seconds in baseline.latency_seconds.items():
                yield MetricSample(BASELINE_LATENCY, (*pair, number_label(quantile)), seconds)
        for image_format, ratio in baseline.formats.items():
            yield MetricSample(BASELINE_FORMAT_FALSE_POSITIVES, (*pair, image_format), float(ratio))


def check_samples(snapshot: Snapshot) -> Iterator[MetricSample]:
    """Yield limit and result of every check, or why it has no result."""
    for pair, run in snapshot.runs.items():
        for check in run.checks:
            labels = (*pair, check.name, check.slice)
            yield from optional(CHECK_LIMIT, labels, check.limit)
            if check.passed is None:
                if check.unavailable is not None:
                    yield MetricSample(REGRESSION_CHECK_UNAVAILABLE, (*labels, check.unavailable), 1)
                continue
            yield MetricSample(REGRESSION_CHECK_PASSED, labels, int(check.passed))
            yield MetricSample(REGRESSION_CHECK_CONCLUSIVE, labels, int(check.conclusive is not False))
            yield MetricSample(REGRESSION_CHECK_SIGNIFICANT, labels, int(check.significant is True))
            yield from optional(REGRESSION_CHECK_P_VALUE, labels, check.p_value)


def alert_samples(snapshot: Snapshot) -> Iterator[MetricSample]:
    """Yield whether each check alerts, and what its p-value tests."""
    for (model, dataset), run in snapshot.runs.items():
        alerts = snapshot.models[model].role == "production" and snapshot.datasets[dataset].alerts
        for check in run.checks:
            labels = (model, dataset, check.name, check.slice)
            can_alert = check.passed is not None and check.name not in snapshot.limits.informational
            yield MetricSample(CHECK_ALERTS, labels, int(alerts and can_alert))
            if check.p_value is not None:
                yield MetricSample(REGRESSION_CHECK_PAIRED, labels, int(check.paired))


def samples(snapshot: Snapshot) -> Iterator[MetricSample]:
    """Yield every sample of the checks."""
    yield from check_samples(snapshot)
    yield from alert_samples(snapshot)


def _number(value: Fraction | None) -> float | None:
    return None if value is None else float(value)

"""Values of the document: metrics with interval, limit, baseline and result; results of models; datasets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from starlight_exporter.checks.results import CONCLUSIONS, SEVERITIES, CheckResult, Conclusion
from starlight_exporter.formatting import (
    NOT_APPLICABLE,
    images_per_second,
    milliseconds,
    milliseconds_range,
    percent,
    percent_range,
)
from starlight_exporter.statistics.intervals import Proportion, proportion
from starlight_exporter.statistics.sample_sizes import sample_for_conclusion

Unit = Literal["ratio", "seconds", "images per second", "× baseline"]
RequiredOperator = Literal["<", ">", "≤"]


@dataclass(frozen=True, slots=True)
class MetricValue:
    """One metric with its 95% interval, its value of the baseline, and the results of its checks.

    `value` and bounds are None if not measured; `count` of `total` images from `covers` covers is None unless it is a
    ratio. The value has to be `required` the limit of `target`; `others` are further checks of the same value.
    """

    name: str
    unit: Unit
    value: float | None
    lower: float | None = None
    upper: float | None = None
    count: int | None = None
    total: int | None = None
    covers: int | None = None
    baseline: float | None = None
    target: CheckResult | None = None
    required: RequiredOperator = "<"
    others: tuple[CheckResult, ...] = ()

    @property
    def checks(self) -> tuple[CheckResult, ...]:
        """All checks of this value."""
        return self.others if self.target is None else (self.target, *self.others)

    @property
    def worst(self) -> tuple[CheckResult, ...]:
        """The checks with the worst severity and conclusion; checks without a result only if no other has one."""
        with_result = [check for check in self.checks if check.passed is not None] or self.checks
        worst = max(map(_rank, with_result), default=None)
        return tuple(check for check in with_result if _rank(check) == worst)

    @property
    def result(self) -> Conclusion | None:
        """The worst conclusion of the checks; None for a value that is not checked."""
        return next((check.conclusion for check in self.worst), "not measured" if self.value is None else None)

    @property
    def images_needed(self) -> int | None:
        """Return the approximate number of images needed to decide an inconclusive target; None if unknown.

        Assumes that the true rate is the measured one, and one cover per image.
        """
        target = self.target
        if target is None or target.limit is None or self.count is None or self.total is None:
            return None
        sample = sample_for_conclusion(proportion(self.count, self.total), target.limit)
        return None if sample is None else sample.images

    def format(self, value: float | None) -> str:
        """Format a value of this metric with its unit."""
        match self.unit:
            case "ratio":
                return percent(value)
            case "seconds":
                return milliseconds(value)
            case "images per second":
                return images_per_second(value)
            case "× baseline":
                return NOT_APPLICABLE if value is None else f"{value:.2f} ×"

    def format_interval(self) -> str:
        """Format the 95% interval; latencies can have one bound, ratios of latencies have a one-sided 99.5% bound."""
        match self.unit:
            case "ratio":
                return percent_range(self.lower, self.upper)
            case "seconds":
                return milliseconds_range(self.lower, self.upper)
            case "images per second":
                return NOT_APPLICABLE
            case "× baseline":
                return NOT_APPLICABLE if self.lower is None else f"≥ {self.format(self.lower)} (99.5%)"


def _rank(check: CheckResult) -> tuple[int, int]:
    severity = 0 if check.severity is None else 1 + SEVERITIES.index(check.severity)
    return severity, CONCLUSIONS.index(check.conclusion)


@dataclass(frozen=True, slots=True)
class ModelResult:
    """The last complete evaluation of one model on one dataset. Times are UTC seconds, hashes have 12 digits.

    `labels` are those of its series in Prometheus (job, instance, model, dataset). `sha256` and `fingerprint` belong to
    the values; `newer_on_disk` is the hash of a model file that is not evaluated yet. `evaluated_at` is None before
    the first complete evaluation; `overdue_since` is the time at which the next one was due. `alerts` is whether failed
    checks on the dataset raise alerts. `contention` is the share of wall time that the timed thread did not run.
    """

    labels: Mapping[str, str]
    role: str
    file: str
    decision: str
    sha256: str
    newer_on_disk: str | None
    fingerprint: str
    evaluated_at: float | None
    overdue_since: float | None
    alerts: bool
    checks: tuple[CheckResult, ...]
    false_positives: MetricValue
    formats: tuple[MetricValue, ...]
    negatives: tuple[MetricValue, ...]
    detections: tuple[MetricValue, ...]
    latency: tuple[MetricValue, ...]
    contention: float | None
    not_measured: Mapping[str, int]

    @property
    def model(self) -> str:
        """Return the name of the configured model."""
        return self.labels["model"]

    @property
    def dataset(self) -> str:
        """Return the name of the configured dataset."""
        return self.labels["dataset"]

    @property
    def accuracy(self) -> tuple[MetricValue, ...]:
        """All rates."""
        return (self.false_positives, *self.formats, *self.negatives, *self.detections)

    def concluded(self, *conclusions: Conclusion) -> tuple[CheckResult, ...]:
        """Return the checks with one of these conclusions."""
        return tuple(check for check in self.checks if check.conclusion in conclusions)


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """The content of a dataset; entropies in bits, None if not measured. `labels` are those of its series."""

    labels: Mapping[str, str]
    fingerprint: str
    classes: Mapping[str, int]
    formats: Mapping[str, int]
    shares: Mapping[str, float]
    entropy: float | None
    entropy_max: float | None
    duplicates: int | None


@dataclass(frozen=True, slots=True)
class UnlabelledSummary:
    """One model on one unlabelled dataset. `labels` are those of its series in Prometheus.

    `drifted` is None if drift was not measured; `unavailable` is the reason then. `largest` is the fact with the
    largest population stability index, `psi`.
    """

    labels: Mapping[str, str]
    images: int
    outside_window: int
    alarms: Proportion
    drifted: bool | None
    reference: str
    largest: str
    psi: float
    unavailable: str


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Current values: `production` models have sections of their own, `others` are in one table."""

    production: tuple[ModelResult, ...]
    others: tuple[ModelResult, ...]
    datasets: tuple[DatasetSummary, ...]
    unlabelled: tuple[UnlabelledSummary, ...]

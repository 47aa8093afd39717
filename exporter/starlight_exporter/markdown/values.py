"""Values of the document: metrics with interval, target and status; results of models; summaries of datasets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from starlight_exporter.formatting import (
    NOT_APPLICABLE,
    images_per_second,
    milliseconds,
    milliseconds_range,
    percent,
    percent_range,
)
from starlight_exporter.statistics.intervals import proportion
from starlight_exporter.statistics.sample_sizes import RequiredSide, compare_with_limit

Unit = Literal["ratio", "seconds", "images per second"]
TargetStatus = Literal["pass", "pass, inconclusive", "fail", "fail, not significant", "no target", "not measured"]

_INCONCLUSIVE: frozenset[TargetStatus] = frozenset({"pass, inconclusive", "fail, not significant"})


@dataclass(frozen=True, slots=True)
class MetricValue:
    """One metric with its 95% interval and its target.

    The value has to be below (`required` is below) or above the target. `value` and bounds are None if not measured;
    `count` of `total` images is None unless it is a ratio.
    """

    name: str
    unit: Unit
    value: float | None
    lower: float | None = None
    upper: float | None = None
    count: int | None = None
    total: int | None = None
    target: float | None = None
    required: RequiredSide = "below"
    passed: bool | None = None

    @property
    def status(self) -> TargetStatus:
        """Return pass or fail by the exporter's check (without one, by the value), with its certainty."""
        if self.value is None:
            return "not measured"
        if self.target is None:
            return "no target"
        passed = self.passed if self.passed is not None else self._within(self.value)
        # A fail is significant if the whole interval is outside the target.
        bound = self.upper if passed is (self.required == "below") else self.lower
        if passed:
            return "pass" if bound is not None and self._within(bound) else "pass, inconclusive"
        return "fail" if bound is not None and not self._within(bound) else "fail, not significant"

    @property
    def images_needed(self) -> int | None:
        """Return the approximate sample size for a conclusion if the rate stays the same; None if not applicable."""
        if self.status not in _INCONCLUSIVE or self.target is None or self.count is None or self.total is None:
            return None
        comparison = compare_with_limit(proportion(self.count, self.total), self.target, self.required)
        return None if comparison.more_images is None else self.total + comparison.more_images

    def format(self, value: float | None) -> str:
        """Format a value of this metric with its unit."""
        match self.unit:
            case "ratio":
                return percent(value)
            case "seconds":
                return milliseconds(value)
            case "images per second":
                return images_per_second(value)

    def format_interval(self) -> str:
        """Format the 95% interval; only latencies have intervals with one bound, and throughput has none."""
        match self.unit:
            case "ratio":
                return percent_range(self.lower, self.upper)
            case "seconds":
                return milliseconds_range(self.lower, self.upper)
            case "images per second":
                return NOT_APPLICABLE

    def _within(self, value: float) -> bool:
        assert self.target is not None
        return value < self.target if self.required == "below" else value > self.target


@dataclass(frozen=True, slots=True)
class ModelResult:
    """The last complete evaluation of one model on one dataset. Times are UTC seconds, hashes have 12 digits.

    `labels` are those of its series in Prometheus (instance, model, dataset). `sha256` and `fingerprint` belong to the
    values; `newer_on_disk` is the hash of a model file that is not evaluated yet. `evaluated_at` is None before the
    first complete evaluation; `overdue_since` is the time at which the next one was due. `failed` are the failed
    checks with their slices.
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
    failed: tuple[tuple[str, str], ...]
    passed: int
    false_positives: MetricValue
    formats: tuple[MetricValue, ...]
    negatives: tuple[MetricValue, ...]
    detections: tuple[MetricValue, ...]
    latency: tuple[MetricValue, ...]
    not_measured: Mapping[str, int]

    @property
    def model(self) -> str:
        """Return the name of the configured model."""
        return self.labels["model"]

    @property
    def dataset(self) -> str:
        """Return the name of the configured dataset."""
        return self.labels["dataset"]


@dataclass(frozen=True, slots=True)
class DatasetSummary:
    """The content of a dataset; entropies in bits, None if not measured."""

    name: str
    fingerprint: str
    classes: Mapping[str, int]
    formats: Mapping[str, int]
    shares: Mapping[str, float]
    entropy: float | None
    entropy_max: float | None
    duplicates: int | None


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Current values: `production` models have sections of their own, `others` are in one table."""

    production: tuple[ModelResult, ...]
    others: tuple[ModelResult, ...]
    datasets: tuple[DatasetSummary, ...]

"""Trends of one model on one dataset, from range queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from starlight_exporter.detector.contract import METHODS
from starlight_exporter.markdown.prometheus import Prometheus, Series
from starlight_exporter.publish.families import accuracy, checks, latency, runs
from starlight_exporter.publish.families.family import Family, number_label

HOUR, DAY = 3_600.0, 86_400.0
WINDOWS = (HOUR, 6 * HOUR, DAY, 7 * DAY, 30 * DAY, 90 * DAY)
"""The shortest window with all data of Prometheus is shown, at most the last 90 days."""

_POINTS = 288
_GAP_STEPS = 1.5
_GAP_SPACINGS = 3.0
_QUANTILES = (0.5, 0.95, 0.99)

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class ModelChange:
    """The first result of another model file (UTC seconds), and the hash of that file."""

    at: float
    sha256: str


@dataclass(frozen=True, slots=True)
class Trend:
    """A value over time with the bounds of its interval; points are (UTC seconds, value)."""

    value: Points
    lower: Points = ()
    upper: Points = ()


@dataclass(frozen=True, slots=True)
class Trends:
    """Trends of one model on one dataset from `start` to `end` (UTC seconds); empty where never measured.

    `labels` are those of its series in Prometheus (job, instance, model, dataset). Between points more than
    `longest_gap` seconds apart nothing was measured. `limits` are the newest limits in use, by check and slice.
    """

    labels: Mapping[str, str]
    start: float
    end: float
    longest_gap: float
    false_positives: Trend
    detections: Mapping[str, Trend]
    latency: Mapping[str, Trend]
    changes: tuple[ModelChange, ...]
    limits: Mapping[tuple[str, str], float]


def query_trends(
    prometheus: Prometheus, labels: Mapping[str, str], *, current_until: float | None, now: float
) -> Trends | None:
    """Return the trends of the series with these labels (job, instance, model, dataset); None without data.

    They end with the newest value (`current_until`), so that a chart changes only with its values. Without a current
    value (None) they end with the current hour.
    """
    query = _Query(prometheus, labels)
    first = query.first_evaluation(now)
    if first is None:
        return None
    end = now - now % HOUR + HOUR if current_until is None else current_until
    window = next((one for one in WINDOWS if end - one <= first), WINDOWS[-1])
    step = window / _POINTS
    # One step more, because a value is scraped after the end of its evaluation.
    query.start, query.end, query.step = end + step - window, end + step, step
    false_positives = [
        query.one(family) for family in (accuracy.CLEAN.ratio, accuracy.CLEAN.lower, accuracy.CLEAN.upper)
    ]
    quantiles = query.by_label(latency.LATENCY, "quantile")
    detections = {
        family: query.by_label(family, "method")
        for family in (accuracy.STEGO.ratio, accuracy.STEGO.lower, accuracy.STEGO.upper)
    }
    return Trends(
        labels=labels,
        start=query.start,
        end=query.end,
        longest_gap=max(_GAP_STEPS * step, _GAP_SPACINGS * _usual_spacing(query.one(runs.EVALUATION_TIMESTAMP))),
        false_positives=Trend(*false_positives),
        detections={
            method: Trend(*(found.get(method, ()) for found in detections.values()))
            for method in METHODS
            if method in detections[accuracy.STEGO.ratio]
        },
        latency={
            f"p{q * 100:g}": Trend(quantiles[number_label(q)]) for q in _QUANTILES if number_label(q) in quantiles
        },
        changes=query.model_changes(),
        limits=query.limits(),
    )


class _Query:
    """Range queries for the series of one model on one dataset."""

    def __init__(self, prometheus: Prometheus, labels: Mapping[str, str]) -> None:
        self._prometheus = prometheus
        self._matchers = ",".join(f"{name}={_quoted(value)}" for name, value in sorted(labels.items()))
        self.start = self.end = self.step = 0.0

    def of(self, family: Family) -> str:
        """Return the selector of a family."""
        return f"{family.name}{{{self._matchers}}}"

    def first_evaluation(self, now: float) -> float | None:
        """Return the end of the oldest evaluation within the longest window."""
        days = WINDOWS[-1] / DAY
        oldest = f"min_over_time({self.of(runs.EVALUATION_TIMESTAMP)}[{days:g}d])"
        found = self._prometheus.instant(oldest, at=now)
        return min((sample.value for _, sample in found), default=None)

    def one(self, family: Family) -> Points:
        """Return the points of a family with one series."""
        found = self._range(family)
        return found[0].points if found else ()

    def by_label(self, family: Family, label: str) -> dict[str, Points]:
        """Return the points of each series of a family, by the value of a label."""
        return {series.labels[label]: series.points for series in self._range(family)}

    def limits(self) -> dict[tuple[str, str], float]:
        """Return the last limit of each check and slice before the end."""
        newest = f"last_over_time({self.of(checks.CHECK_LIMIT)}[{self.end - self.start:.0f}s])"
        found = self._prometheus.instant(newest, at=self.end)
        return {(sample.label("check"), sample.label("slice")): sample.value for _, sample in found}

    def model_changes(self) -> tuple[ModelChange, ...]:
        """Return the changes of the evaluated model file, oldest first; the first file is not a change."""
        seen = sorted(
            (at, series.labels["model_sha256"])
            for series in self._range(runs.EVALUATION_INFO)
            for at, _ in series.points
        )
        changes = []
        current = seen[0][1] if seen else ""
        for at, sha256 in seen:
            if sha256 != current and not any(other == current and when == at for when, other in seen):
                changes.append(ModelChange(at, sha256))
                current = sha256
        return tuple(changes)

    def _range(self, family: Family) -> list[Series]:
        # The last value since the previous step, so that sparse backfilled data is not missed.
        look_back = max(self.step, 60.0)
        expression = f"last_over_time({self.of(family)}[{look_back:.0f}s])"
        return self._prometheus.range(expression, start=self.start, end=self.end, step=self.step)


def _usual_spacing(points: Points) -> float:
    """Return the median time between points; backfilled data has one point per evaluation."""
    distances = [after - before for (before, _), (after, _) in pairwise(points)]
    return median(distances) if distances else 0.0


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'

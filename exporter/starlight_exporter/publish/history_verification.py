"""Compare stored evaluations with the samples that a store with the Prometheus HTTP API has of them.

A store has an evaluation by import, with samples at the time at which the evaluation ended, or by scrapes, of which
each shows the last evaluation. Both are found by the value of `starlight_evaluation_timestamp_seconds`, so that the
clocks of exporter and Prometheus may differ.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.publish.exposition import label_text, number_text
from starlight_exporter.publish.families import evaluation_samples
from starlight_exporter.publish.families.family import PREFIX, MetricSample
from starlight_exporter.publish.families.runs import EVALUATION_TIMESTAMP

WINDOWS: Final = ((1.0, 600.0), (3_600.0, 86_400.0))
"""Seconds before and after the end of an evaluation in which a scrape of it is searched, first the short window."""

RELATIVE_TOLERANCE: Final = 2e-12
"""VictoriaMetrics stores decimal numbers, without digits that are less than 1e-12 of the number, before rounding."""

Origin = Literal["imported", "scraped", "missing"]

_MILLISECOND: Final = 0.001


class StoredSeries(Protocol):
    """A series: labels including `__name__`, and points of (UTC seconds, value)."""

    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def points(self) -> Sequence[tuple[float, float]]: ...


class MetricsStore(Protocol):
    """A store that returns the samples of a selector as they are stored."""

    def raw(self, selector: str, *, at: float, seconds: float) -> Sequence[StoredSeries]:
        """Return every sample within `seconds` before `at` (UTC seconds). Raises MonitoringError."""


@dataclass(frozen=True, slots=True)
class Verification:
    """One evaluation: how the store has it, the number of compared samples, and one line per difference."""

    origin: Origin
    samples: int
    differences: tuple[str, ...]


def verify(evaluations: Iterable[Evaluation], store: MetricsStore, labels: Mapping[str, str]) -> Iterator[Verification]:
    """Yield the comparison of each evaluation with the series that have these labels (such as job and instance).

    Of a scraped evaluation, only series with both labels, model and dataset, are compared: the others show the newest
    evaluation of any model, or on any dataset. Raises MonitoringError if the store is unavailable.
    """
    return (_compared(evaluation, store, labels) for evaluation in evaluations)


def _compared(evaluation: Evaluation, store: MetricsStore, labels: Mapping[str, str]) -> Verification:
    pair = {"model": evaluation.model, "dataset": evaluation.dataset}
    at = _time_in_store(evaluation, store, {**labels, **pair})
    if at is None:
        return Verification("missing", 0, (f"{evaluation.id}: not in the store",))
    imported = _milliseconds(at) == _milliseconds(evaluation.finished_at)
    expected = [sample for sample in evaluation_samples(evaluation) if imported or {*pair} <= {*sample.family.labels}]
    # An empty alternative matches series without the label.
    either = {name: f"{re.escape(value)}|" for name, value in pair.items()}
    found: defaultdict[frozenset[tuple[str, str]], list[float]] = defaultdict(list)
    names = {"__name__", *labels, *(name for sample in expected for name in sample.family.labels)}
    for series in store.raw(_selector(labels, {"__name__": f"{PREFIX}.+", **either}), at=at, seconds=_MILLISECOND):
        # Without the labels that a store or its Prometheus adds.
        key = frozenset((name, value) for name, value in series.labels.items() if name in names)
        found[key] += [value for time, value in series.points if _milliseconds(time) == _milliseconds(at)]
    differences = (_difference(sample, found[_key(sample, labels)]) for sample in expected)
    lines = tuple(f"{evaluation.id}: {difference}" for difference in differences if difference is not None)
    return Verification("imported" if imported else "scraped", len(expected), lines)


def _time_in_store(evaluation: Evaluation, store: MetricsStore, labels: Mapping[str, str]) -> float | None:
    """Return the time of the imported sample of an evaluation, otherwise of the first scrape that shows it, or None."""
    end = evaluation.finished_at
    selector = EVALUATION_TIMESTAMP.name + _selector(labels, {})
    for before, after in WINDOWS:
        times = [
            time
            for series in store.raw(selector, at=end + after, seconds=before + after)
            for time, value in series.points
            if abs(value - end) < _MILLISECOND / 2
        ]
        if times:
            return min(times, key=lambda time: (_milliseconds(time) != _milliseconds(end), time))
    return None


def _difference(sample: MetricSample, values: list[float]) -> str | None:
    expected = sample.value
    if len(values) != 1:
        difference = f"{len(values)} samples" if values else "no sample"
    elif math.isclose(values[0], expected, rel_tol=RELATIVE_TOLERANCE):
        return None
    else:
        difference = f"{number_text(values[0])} instead of {number_text(expected)}"
    labels = label_text(dict(zip(sample.family.labels, sample.labels, strict=True)))
    return f"{sample.family.name}{labels}: {difference}"


def _key(sample: MetricSample, labels: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    own = dict(zip(sample.family.labels, sample.labels, strict=True))
    # An empty label is the same as a missing one.
    given = {"__name__": sample.family.name, **labels, **own}
    return frozenset((name, value) for name, value in given.items() if value)


def _selector(equal: Mapping[str, str], matching: Mapping[str, str]) -> str:
    matchers = [f"{name}={_quoted(value)}" for name, value in equal.items()]
    return "{" + ",".join(matchers + [f"{name}=~{_quoted(value)}" for name, value in matching.items()]) + "}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'"{escaped}"'


def _milliseconds(seconds: float) -> int:
    # Rounded as by the export; `round(1000 * seconds)` can differ.
    return round(1000 * round(seconds, 3))

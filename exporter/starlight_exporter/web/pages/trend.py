"""Trend of one model on one dataset: rates of the last evaluations of the same images, and significant changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from starlight_exporter.errors import StarlightError
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.evaluation.spec import differences
from starlight_exporter.formatting import percent
from starlight_exporter.publish.changes import SliceChange, changes
from starlight_exporter.publish.charts import sparkline
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.retention import Entry, storage_order

TREND_LENGTH = 20


@dataclass(frozen=True, slots=True)
class RateTrend:
    """One rate of the last evaluations, oldest first; `points` are those of an SVG line."""

    name: str
    points: str
    values: tuple[float, ...]

    @property
    def text(self) -> str:
        """First and last value: `0.10% to 0.05%`."""
        return f"{percent(self.values[0])} to {percent(self.values[-1])}"

    @property
    def label(self) -> str:
        """Description for readers who do not see the line."""
        lowest, highest = percent(min(self.values)), percent(max(self.values))
        count = len(self.values)
        return f"{self.name} of the last {count} evaluations: {self.text}, lowest {lowest}, highest {highest}"


@dataclass(frozen=True, slots=True)
class CellTrend:
    """Rates of the last evaluations of the same images, and changes since the previous model file."""

    rates: tuple[RateTrend, ...]
    before: Entry | None
    changes: tuple[SliceChange, ...]

    @property
    def significant(self) -> list[SliceChange]:
        """Return the slices with a significant change."""
        return [change for change in self.changes if change.conclusion in ("better", "worse")]


def cell_trend(evidence: Evidence, evaluation: Evaluation) -> CellTrend | None:
    """Return the trend up to an evaluation; None if its evidence is not stored or not readable."""
    try:
        entry = evidence.find(evaluation.id)
        if entry is None:
            return None
        same = [
            other
            for other in evidence.entries(entry.model, entry.dataset)
            if not differences(other.spec, entry.spec, "images") and storage_order(other) <= storage_order(entry)
        ][:TREND_LENGTH]
        before = evidence.previous(entry)
        found = () if before is None else _changes(evidence, before, entry)
    except StarlightError:
        # The page shows the results without evidence as well.
        return None
    oldest_first = same[::-1]
    false_positives = [one.clean.ratio for one in oldest_first if one.clean.ratio is not None]
    detections = [one.stego.ratio for one in oldest_first if one.stego.ratio is not None]
    rates = (
        _rate_trend("false positive rate", false_positives, low=0.0, high=max(false_positives, default=0.0) or 1.0),
        _rate_trend("detection rate", detections, low=_below_one(detections), high=1.0),
    )
    return CellTrend(tuple(one for one in rates if one is not None), before, found)


def _rate_trend(name: str, values: Sequence[float], *, low: float, high: float) -> RateTrend | None:
    if len(values) < 2:
        return None
    return RateTrend(name, sparkline(values, low=low, high=high), tuple(values))


def _below_one(values: Sequence[float]) -> float:
    lowest = min(values, default=0.0)
    return lowest if lowest < 1.0 else 0.0


@lru_cache(maxsize=512)
def _changes(evidence: Evidence, before: Entry, after: Entry) -> tuple[SliceChange, ...]:
    # Cached, because stored evaluations never change and this page is reloaded most often.
    return changes(evidence, before, after)

"""What two evaluations of the same images disagree about, slice by slice, and whether chance explains it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from starlight_exporter.analysis.comparison import FALSE_DISCOVERY_RATE
from starlight_exporter.errors import ComparisonError
from starlight_exporter.evaluation.spec import differences
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.prediction_store import FlipCount
from starlight_exporter.publish.retention import Entry
from starlight_exporter.statistics.hypothesis_tests import benjamini_hochberg, mcnemar_p_value
from starlight_exporter.statistics.intervals import Proportion, proportion

Conclusion = Literal["better", "worse", "not significant", "no change", "not measured"]


@dataclass(frozen=True, slots=True)
class SliceChange:
    """One slice of what both evaluations measured; `before` and `after` are shares of wrong verdicts.

    `p_value` is McNemar's, `adjusted` the same by Benjamini and Hochberg over all slices; None where nothing flipped.
    """

    file_class: str
    method: str | None
    image_format: str | None
    category: str | None
    before: Proportion
    after: Proportion
    fixed: int
    broken: int
    p_value: float | None
    adjusted: float | None

    @property
    def conclusion(self) -> Conclusion:
        """What may be said of the slice."""
        if self.after.total == 0:
            return "not measured"
        if self.adjusted is None:
            return "no change"
        if self.adjusted > FALSE_DISCOVERY_RATE:
            return "not significant"
        return "worse" if self.broken > self.fixed else "better"


def changes(evidence: Evidence, before: Entry, after: Entry) -> tuple[SliceChange, ...]:
    """Clean images whole and by format, negatives by category, stego images whole and by method.

    ComparisonError unless both saw the same images; StorageError where the evidence has vanished.
    """
    if reason := differences(before.spec, after.spec, "images"):
        raise ComparisonError(f"evaluations {before.id} and {after.id} are not comparable: {reason}")
    counts = evidence.open(after, before=before).flip_counts()
    slices = [
        _Slice("clean"),
        *_each(counts, "clean", lambda one: _Slice("clean", image_format=one.image_format)),
        *_each(counts, "negative", lambda one: _Slice("negative", category=one.category)),
        _Slice("stego"),
        *_each(counts, "stego", lambda one: _Slice("stego", method=one.method)),
    ]
    sums = [_Sums.of(one for one in counts if wanted.holds(one)) for wanted in slices]
    p_values = [mcnemar_p_value(found.fixed, found.broken) for found in sums]
    return tuple(
        SliceChange(
            file_class=wanted.file_class,
            method=wanted.method,
            image_format=wanted.image_format,
            category=wanted.category,
            before=proportion(found.wrong_before, found.both),
            after=proportion(found.wrong_after, found.both),
            fixed=found.fixed,
            broken=found.broken,
            p_value=p_value,
            adjusted=adjusted,
        )
        for wanted, found, p_value, adjusted in zip(slices, sums, p_values, benjamini_hochberg(p_values), strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Slice:
    file_class: str
    method: str | None = None
    image_format: str | None = None
    category: str | None = None

    def holds(self, count: FlipCount) -> bool:
        return (
            self.file_class == count.file_class
            and self.method in (None, count.method)
            and self.image_format in (None, count.image_format)
            and self.category in (None, count.category)
        )


@dataclass(frozen=True, slots=True)
class _Sums:
    both: int
    wrong_before: int
    wrong_after: int
    fixed: int
    broken: int

    @classmethod
    def of(cls, counts: Iterable[FlipCount]) -> _Sums:
        rows = [(one.both, one.wrong_before, one.wrong_after, one.fixed, one.broken) for one in counts]
        return cls(*(sum(column) for column in zip(*rows, strict=True))) if rows else cls(0, 0, 0, 0, 0)


def _each(counts: list[FlipCount], file_class: str, make: Callable[[FlipCount], _Slice]) -> list[_Slice]:
    whole = _Slice(file_class)
    return [
        found for found in dict.fromkeys(make(one) for one in counts if one.file_class == file_class) if found != whole
    ]

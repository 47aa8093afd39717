"""Slice-by-slice comparison of two stored evaluations of the same images, with adjusted paired tests."""

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


def slice_conclusion(images: int, fixed: int, broken: int, adjusted: float | None) -> Conclusion:
    """Return the conclusion from the flips of a slice and its adjusted p-value, which is None without flips."""
    if images == 0:
        return "not measured"
    if adjusted is None:
        return "no change"
    if adjusted > FALSE_DISCOVERY_RATE:
        return "not significant"
    return "worse" if broken > fixed else "better"


@dataclass(frozen=True, slots=True)
class SliceChange:
    """Flips of one slice of the images that both evaluations measured; `before` and `after` are misclassified shares.

    `p_value` is from the exact McNemar test, `adjusted` is adjusted (Benjamini-Hochberg) over all slices. Both are None
    without flips.
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
        """The conclusion from the adjusted test."""
        return slice_conclusion(self.after.total, self.fixed, self.broken, self.adjusted)


def changes(evidence: Evidence, before: Entry, after: Entry) -> tuple[SliceChange, ...]:
    """Compare clean images (all and by format), negatives by category, and stego images (all and by method).

    Raise ComparisonError if the images differ, StorageError if the evidence cannot be read.
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
    sums = [_Sums.of(one for one in counts if one_slice.contains(one)) for one_slice in slices]
    p_values = [mcnemar_p_value(found.fixed, found.broken) for found in sums]
    return tuple(
        SliceChange(
            file_class=one_slice.file_class,
            method=one_slice.method,
            image_format=one_slice.image_format,
            category=one_slice.category,
            before=proportion(found.wrong_before, found.both),
            after=proportion(found.wrong_after, found.both),
            fixed=found.fixed,
            broken=found.broken,
            p_value=p_value,
            adjusted=adjusted,
        )
        for one_slice, found, p_value, adjusted in zip(
            slices, sums, p_values, benjamini_hochberg(p_values), strict=True
        )
    )


@dataclass(frozen=True, slots=True)
class _Slice:
    file_class: str
    method: str | None = None
    image_format: str | None = None
    category: str | None = None

    def contains(self, count: FlipCount) -> bool:
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
    every = _Slice(file_class)
    return [
        found for found in dict.fromkeys(make(one) for one in counts if one.file_class == file_class) if found != every
    ]

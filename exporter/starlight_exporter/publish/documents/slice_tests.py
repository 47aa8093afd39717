"""Paired tests of a candidate model against a baseline model on several datasets, and the conclusion from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from starlight_exporter.analysis.comparison import SLICES, Comparison, Flips, PairedSlice, compare, flips
from starlight_exporter.analysis.paired_images import figure_changes
from starlight_exporter.evaluation.results import Evaluation, RunResult
from starlight_exporter.publish.changes import Conclusion, slice_conclusion
from starlight_exporter.statistics.figure_intervals import FigureDifference
from starlight_exporter.statistics.figures_of_merit import Figure
from starlight_exporter.statistics.hypothesis_tests import benjamini_hochberg

OverallConclusion = Literal["better", "worse", "mixed", "not significant"]


@dataclass(frozen=True, slots=True)
class DatasetComparison:
    """Both models on one dataset; `figures` are the paired changes of the figures of merit."""

    baseline: Evaluation
    candidate: Evaluation
    comparison: Comparison
    flips: Flips
    figures: Mapping[Figure, FigureDifference]

    @property
    def name(self) -> str:
        """The name of the dataset."""
        return self.candidate.dataset


def dataset_comparison(before: RunResult, after: RunResult, *, same_rule: bool) -> DatasetComparison:
    """Compare two models on one dataset. Raise ComparisonError as `compare`."""
    old, new = before.evaluation, after.evaluation
    return DatasetComparison(
        baseline=old,
        candidate=new,
        comparison=compare(old, before.predictions, new, after.predictions, against=old.model, same_rule=same_rule),
        flips=flips(before.predictions, after.predictions),
        figures=figure_changes(before.predictions, after.predictions, seed=new.provenance.seed),
    )


@dataclass(frozen=True, slots=True)
class SliceTest:
    """A slice of a dataset with its p-value adjusted (Benjamini-Hochberg) over all slices of all datasets."""

    dataset: str
    name: str
    paired: PairedSlice
    adjusted: float | None

    @property
    def conclusion(self) -> Conclusion:
        """The conclusion from the adjusted test."""
        return slice_conclusion(self.paired.images, self.paired.fixed, self.paired.broken, self.adjusted)

    @property
    def significant(self) -> bool:
        """Whether the candidate is significantly better or worse."""
        return self.conclusion in ("better", "worse")


def slice_tests(results: Sequence[DatasetComparison]) -> tuple[SliceTest, ...]:
    """Return every slice with compared images, of every dataset."""
    found = [
        (result.name, name, result.comparison.slices[name])
        for result in results
        for name in SLICES
        if result.comparison.slices[name].images
    ]
    adjusted = benjamini_hochberg([paired.p_value for _, _, paired in found])
    return tuple(SliceTest(*entry, value) for entry, value in zip(found, adjusted, strict=True))


def overall_conclusion(tests: Sequence[SliceTest]) -> OverallConclusion:
    """Return better or worse only if no slice is significant in the other direction."""
    significant = {test.conclusion for test in tests if test.significant}
    if len(significant) == 2:
        return "mixed"
    if "better" in significant:
        return "better"
    return "worse" if significant else "not significant"

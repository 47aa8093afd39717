"""Paired differences of figures of merit of a candidate model and a baseline model on several datasets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from starlight_exporter.analysis.comparison import FALSE_DISCOVERY_RATE
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.formatting import NOT_MEASURED, p_value
from starlight_exporter.publish.changes import Conclusion
from starlight_exporter.publish.documents.slice_tests import DatasetComparison
from starlight_exporter.publish.figure_texts import TITLES, difference_text, figure_text
from starlight_exporter.statistics.figure_intervals import FigureDifference
from starlight_exporter.statistics.figures_of_merit import LARGER_IS_BETTER, Figure
from starlight_exporter.statistics.hypothesis_tests import benjamini_hochberg

HEADINGS: Final = ("dataset and figure", "baseline", "candidate", "difference", "p", "adjusted p", "result")


@dataclass(frozen=True, slots=True)
class FigureTest:
    """A figure on a dataset with its p-value adjusted (Benjamini-Hochberg) over all figures of all datasets."""

    dataset: str
    figure: Figure
    change: FigureDifference
    adjusted: float | None

    @property
    def conclusion(self) -> Conclusion:
        """The conclusion from the adjusted p-value."""
        if self.change.value is None:
            return "not measured"
        if self.adjusted is None or self.change.lower is None:
            return "no change"
        if self.adjusted > FALSE_DISCOVERY_RATE:
            return "not significant"
        return "better" if (self.change.value > 0) == LARGER_IS_BETTER[self.figure] else "worse"


def figure_tests(results: Sequence[DatasetComparison]) -> tuple[FigureTest, ...]:
    """Return every figure on every dataset."""
    found = [(result.name, figure, change) for result in results for figure, change in result.figures.items()]
    adjusted = benjamini_hochberg([change.p_value for _, _, change in found])
    return tuple(FigureTest(*entry, value) for entry, value in zip(found, adjusted, strict=True))


def figure_rows(results: Sequence[DatasetComparison]) -> Iterator[tuple[str, ...]]:
    """Yield the cells of HEADINGS for every figure on every dataset."""
    evaluations = {result.name: (result.baseline, result.candidate) for result in results}
    for test in figure_tests(results):
        yield (
            f"{test.dataset}, {TITLES[test.figure]}",
            *(evaluation_text(one, test.figure) for one in evaluations[test.dataset]),
            difference_text(test.figure, test.change.value, test.change.lower, test.change.upper),
            p_value(test.change.p_value),
            p_value(test.adjusted),
            test.conclusion,
        )


def evaluation_text(evaluation: Evaluation, figure: Figure) -> str:
    """Return a figure of an evaluation with its interval, or why it is not measured."""
    return NOT_MEASURED if evaluation.figures is None else figure_text(figure, evaluation.figures.figures[figure])

"""Metrics of figures of merit."""

from __future__ import annotations

from collections.abc import Iterator

from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.publish.families.family import (
    PREFIX,
    UNTIL_EVALUATED,
    FamilyGroup,
    MetricSample,
    optional,
)

GROUP = FamilyGroup("Figures of merit")

_LABELS = "model dataset figure"
_ABSENT = f"{UNTIL_EVALUATED}, or the figure is not measured"

VALUE = GROUP.of_evaluation(
    "figure_of_merit",
    _LABELS,
    "Figure of merit of the stego probability, clean against stego images.",
    unit="ratio",
    absent=_ABSENT,
)
LOWER = GROUP.of_evaluation(
    "figure_of_merit_lower",
    _LABELS,
    f"Lower bound of the 95% confidence interval (bootstrap over covers) of {PREFIX}figure_of_merit.",
    unit="ratio",
    absent=_ABSENT,
)
UPPER = GROUP.of_evaluation(
    "figure_of_merit_upper",
    _LABELS,
    f"Upper bound of the 95% confidence interval (bootstrap over covers) of {PREFIX}figure_of_merit.",
    unit="ratio",
    absent=_ABSENT,
)
NOT_MEASURED = GROUP.of_evaluation(
    "figure_of_merit_not_measured",
    f"{_LABELS} reason",
    "Constant 1 for a figure of merit that is not measured, by reason.",
    absent=f"{UNTIL_EVALUATED}, or the figure is measured",
)


def evaluation_samples(evaluation: Evaluation) -> Iterator[MetricSample]:
    """Yield value and bounds of each measured figure of one evaluation, and the reason for each other one."""
    if evaluation.figures is None:
        return
    for name, figure in evaluation.figures.figures.items():
        labels = (evaluation.model, evaluation.dataset, name)
        yield from optional(VALUE, labels, figure.value)
        yield from optional(LOWER, labels, figure.lower)
        yield from optional(UPPER, labels, figure.upper)
        if figure.not_measured is not None:
            yield MetricSample(NOT_MEASURED, (*labels, figure.not_measured), 1)

"""Metrics of a study of models: rates under the decision rule, and figures of merit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from starlight_exporter.analysis.comparison import in_slice
from starlight_exporter.detector.contract import METHODS
from starlight_exporter.evaluation.accuracy import positive_rate
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.results import Prediction, RunResult
from starlight_exporter.statistics.figures_of_merit import FIGURES, LARGER_IS_BETTER, TESTED_FIGURES, Figure
from starlight_exporter.statistics.intervals import Proportion


@dataclass(frozen=True, slots=True)
class RateMetric:
    """Share of positive verdicts; `name` and `slice` as in `Evaluation.to_frame`, `group` as in `in_slice`."""

    name: str
    slice: str
    group: str


@dataclass(frozen=True, slots=True)
class FigureMetric:
    """A figure of merit of all clean and stego images."""

    name: Figure
    slice: str = "all"


StudyMetric = RateMetric | FigureMetric

RATE_METRICS: Final = (
    RateMetric("false_positive_rate", "all", "clean"),
    RateMetric("negatives_false_positive_rate", "all", "negative"),
    RateMetric("detection_rate", "all", "stego"),
    *(RateMetric("detection_rate", method, method) for method in METHODS),
)
FIGURE_METRICS: Final = tuple(FigureMetric(figure) for figure in FIGURES)
METRICS: Final[tuple[StudyMetric, ...]] = (*RATE_METRICS, *FIGURE_METRICS)
TESTED_FIGURE_METRICS: Final = tuple(FigureMetric(figure) for figure in TESTED_FIGURES)
TESTED_METRICS: Final[tuple[StudyMetric, ...]] = (*RATE_METRICS, *TESTED_FIGURE_METRICS)


def larger_is_better(metric: StudyMetric) -> bool:
    """Return whether a larger value of the metric is better."""
    return LARGER_IS_BETTER[metric.name] if isinstance(metric, FigureMetric) else metric.name == "detection_rate"


def metric_value(metric: StudyMetric, result: RunResult) -> float | None:
    """Return the value of a metric, None if it is not measured."""
    if isinstance(metric, FigureMetric):
        figures = result.evaluation.figures
        return None if figures is None else figures.figures[metric.name].value
    return rate(metric, result.predictions).ratio


def rate(metric: RateMetric, predictions: Sequence[Prediction]) -> Proportion:
    """Return the rate among the measured images, with an interval that accounts for shared covers."""
    table = PredictionTable.of(predictions)
    return positive_rate(table, in_slice(table, metric.group))

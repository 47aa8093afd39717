"""Figures of merit of an evaluation page: rows, ROC curve with operating points, calibration curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.formatting import NOT_MEASURED, axis_percent, fraction, percent, percent_range
from starlight_exporter.publish.charts import Chart, Dot, Line, Panel, inline_svg, linear_scale, log_scale
from starlight_exporter.publish.figure_texts import TITLES, interval_text, reason_text, value_text
from starlight_exporter.statistics.figure_intervals import FiguresOfMerit
from starlight_exporter.web.pages.page import CHART_WIDTH, Table

_LOWEST_RATE: Final = 0.001
"""The logarithmic axis starts here for a dataset of few clean images."""
_PANEL_HEIGHT: Final = 260


@dataclass(frozen=True, slots=True)
class FigureRow:
    """A figure of merit as text; `reason` is empty if it is measured."""

    title: str
    value: str
    interval: str
    reason: str


def rows(figures: FiguresOfMerit | None) -> list[FigureRow]:
    """Return every figure; empty for an evaluation without figures of merit."""
    if figures is None:
        return []
    return [
        FigureRow(TITLES[name], value_text(name, one), interval_text(name, one), "")
        if one.not_measured is None
        else FigureRow(TITLES[name], NOT_MEASURED, "", reason_text(name, one.not_measured))
        for name, one in figures.figures.items()
    ]


def table(figures: FiguresOfMerit | None) -> Table:
    """Return every figure with its bounds or reason, and the numbers of images and covers."""
    columns = ("figure", "value", "lower", "upper", "not_measured", "clean", "stego", "covers", "resamples")
    if figures is None:
        return Table(columns, [])
    counts = (figures.clean, figures.stego, figures.covers, figures.resamples)
    return Table(
        columns,
        [(name, one.value, one.lower, one.upper, one.not_measured, *counts) for name, one in figures.figures.items()],
    )


def roc_table(figures: FiguresOfMerit | None) -> Table:
    """Return the points of the ROC curve with their band."""
    points = () if figures is None else figures.roc
    return Table(
        ("false_positive_rate", "detection_rate", "lower", "upper"),
        [(point.false_positive_rate, point.detection_rate, point.lower, point.upper) for point in points],
    )


def calibration_table(figures: FiguresOfMerit | None) -> Table:
    """Return the bins of the calibration curve."""
    bins = () if figures is None else figures.calibration
    return Table(
        ("low", "high", "mean_probability", "stego_ratio", "lower", "upper", "stego", "images", "covers"),
        [
            (
                one.low,
                one.high,
                one.mean_probability,
                one.stego.ratio,
                one.stego.lower,
                one.stego.upper,
                one.stego.count,
                one.stego.total,
                one.stego.covers,
            )
            for one in bins
        ],
    )


def roc_chart(evaluation: Evaluation) -> Markup | None:
    """Return the ROC curve with its band, and the operating points as dots; None without clean or stego images.

    An evaluation without figures of merit has the operating points only.
    """
    dots = [
        Dot(
            (point.false_positives.ratio, point.detections.ratio),
            f"probability > {point.threshold:g}: {percent(point.false_positives.ratio)} false positives,"
            f" {percent(point.detections.ratio)} detected",
        )
        for point in evaluation.operating_points
        if point.false_positives.ratio is not None and point.detections.ratio is not None
    ]
    roc = () if evaluation.figures is None else evaluation.figures.roc
    if not dots and not roc:
        return None
    line = Line(
        points=[(one.false_positive_rate, one.detection_rate) for one in roc],
        lower=[(one.false_positive_rate, one.lower) for one in roc],
        upper=[(one.false_positive_rate, one.upper) for one in roc],
    )
    heights = [*(one.lower for one in roc), *(dot.at[1] for dot in dots)]
    chart = Chart(
        title="ROC curve: detection rate against false positive rate",
        note="x: false positive rate, logarithmic, 0 at the left edge; band: 95% CI; one dot per threshold",
        x=log_scale(min(_LOWEST_RATE, 1 / max(1, evaluation.clean.total)), axis_percent),
        panels=(
            Panel(
                y=linear_scale(heights, axis_percent, high=1.0),
                lines=(line,) if roc else (),
                height=_PANEL_HEIGHT,
                dots=tuple(dots),
            ),
        ),
        width=CHART_WIDTH,
    )
    return Markup(inline_svg(chart))


def calibration_chart(figures: FiguresOfMerit | None) -> Markup | None:
    """Return the calibration curve with the interval of each bin; None if it is not measured."""
    bins = () if figures is None else figures.calibration
    measured = [(one, one.stego.ratio) for one in bins if one.stego.ratio is not None]
    if not measured:
        return None
    bounded = [
        (one.mean_probability, one.stego.lower, one.stego.upper)
        for one, _ in measured
        if one.stego.lower is not None and one.stego.upper is not None
    ]
    curve = Line(
        points=[(one.mean_probability, ratio) for one, ratio in measured],
        lower=[(x, lower) for x, lower, _ in bounded],
        upper=[(x, upper) for x, _, upper in bounded],
        titles=[
            f"probability {one.low:.3f} to {one.high:.3f}: {percent(ratio)} stego"
            f" (95% CI {percent_range(one.stego.lower, one.stego.upper)}; {fraction(one.stego)})"
            for one, ratio in measured
        ],
    )
    ideal = Line(points=[(0.0, 0.0), (1.0, 1.0)])
    chart = Chart(
        title="Calibration: observed share of stego images",
        note="x: mean predicted probability; y: share of stego images; diagonal: ideal; band: 95% CI",
        x=linear_scale((), axis_percent, low=0.0, high=1.0),
        panels=(
            Panel(y=linear_scale((), axis_percent, low=0.0, high=1.0), lines=(curve, ideal), height=_PANEL_HEIGHT),
        ),
        width=CHART_WIDTH,
    )
    return Markup(inline_svg(chart))

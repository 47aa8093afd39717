"""Figures of merit as text: names, values, intervals, and reasons of those that are not measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlight_exporter.formatting import (
    NOT_APPLICABLE,
    NOT_MEASURED,
    decimal,
    integer,
    percent,
    percent_range,
    percentage_points,
    percentage_points_interval,
    signed_interval,
)
from starlight_exporter.statistics.figure_intervals import FigureOfMerit, FigureReason
from starlight_exporter.statistics.figures_of_merit import Figure, min_clean_files

TITLES: Final[Mapping[Figure, str]] = {
    "p_e": "P_E",
    "missed_detection_at_5_percent_fpr": "missed detection at 5% FPR (MD5)",
    "false_alarms_at_50_percent_detection": "FPR at 50% detection (FP50)",
    "weighted_auc": "weighted AUC",
    "detection_at_0_1_percent_fpr": "detection at 0.1% FPR",
    "detection_at_1_percent_fpr": "detection at 1% FPR",
    "detection_at_5_percent_fpr": "detection at 5% FPR",
}


def value_text(name: Figure, figure: FigureOfMerit) -> str:
    """Format the value: a rate as percentage, an area with four decimals."""
    return decimal(figure.value) if name == "weighted_auc" else percent(figure.value)


def interval_text(name: Figure, figure: FigureOfMerit) -> str:
    """Format the interval in the unit of the value."""
    if figure.lower is None or figure.upper is None:
        return NOT_APPLICABLE
    if name == "weighted_auc":
        return f"{decimal(figure.lower)}–{decimal(figure.upper)}"
    return percent_range(figure.lower, figure.upper)


def figure_text(name: Figure, figure: FigureOfMerit | None) -> str:
    """Format value and interval: `12.50% (95% CI 8.00–17.00%)`, or the reason why there is none."""
    if figure is None:
        return NOT_MEASURED
    if figure.not_measured is not None:
        return f"{NOT_MEASURED}: {reason_text(name, figure.not_measured)}"
    return f"{value_text(name, figure)} (95% CI {interval_text(name, figure)})"


def difference_text(metric: str, value: float | None, lower: float | None, upper: float | None) -> str:
    """Format a difference of a rate or figure and its interval: an area as a number, others in percentage points."""
    if value is None:
        return NOT_MEASURED
    if metric == "weighted_auc":
        return signed_interval(value, lower, upper)
    if lower is None or upper is None:
        return percentage_points(value)
    return percentage_points_interval(value, lower, upper)


def reason_text(name: Figure, reason: FigureReason) -> str:
    """Describe why a figure is not measured."""
    match reason:
        case "no_images":
            return "no clean or stego image was measured"
        case "one_class":
            return "requires clean and stego images"
        case "one_cover":
            return "all images of a class were made from one cover"
        case "constant_scores":
            return "all images have the same probability"
        case "few_clean_images":
            return f"requires {integer(min_clean_files(name))} clean images"

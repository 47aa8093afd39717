"""Figures of merit of steganalysis, from the step ROC curve of clean and stego files.

A file is positive if its score is at least the threshold; every score, and no positive file at all, is a threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.statistics.roc import RocCurves

Figure = Literal[
    "p_e",
    "missed_detection_at_5_percent_fpr",
    "false_alarms_at_50_percent_detection",
    "weighted_auc",
    "detection_at_0_1_percent_fpr",
    "detection_at_1_percent_fpr",
    "detection_at_5_percent_fpr",
]
FIGURES: Final[tuple[Figure, ...]] = get_args(Figure)

FALSE_ALARM_RATES: Final[Mapping[Figure, Fraction]] = {
    "missed_detection_at_5_percent_fpr": Fraction(5, 100),
    "detection_at_0_1_percent_fpr": Fraction(1, 1000),
    "detection_at_1_percent_fpr": Fraction(1, 100),
    "detection_at_5_percent_fpr": Fraction(5, 100),
}
"""Figures at the largest false alarm rate that does not exceed a limit, with this limit."""

TESTED_FIGURES: Final = tuple(figure for figure in FIGURES if figure != "detection_at_5_percent_fpr")
"""Figures of which differences between models are tested: that of the detection rate at 5% false alarms is the one of
its complement, the missed detection rate, which must not count twice."""

LARGER_IS_BETTER: Final[Mapping[Figure, bool]] = {
    figure: figure == "weighted_auc" or figure.startswith("detection_at") for figure in FIGURES
}

WEIGHTED_BELOW: Final = 0.4
"""Weighted AUC: area below this detection rate has weight 2, above it weight 1."""


def min_clean_files(figure: Figure) -> int:
    """Return the number of clean files from which a figure is measured: 2 / rate for detection at a rate, else 1."""
    return 2 * int(1 / FALSE_ALARM_RATES[figure]) if figure.startswith("detection_at") else 1


def figure_values(curves: RocCurves, figure: Figure) -> NDArray[np.float64]:
    """Return a figure of each curve, shape (curves,)."""
    if figure == "p_e":
        return minimum_error(curves)
    if figure == "weighted_auc":
        return weighted_auc(curves)
    if figure == "false_alarms_at_50_percent_detection":
        return false_alarms_at_half_detection(curves)
    detected = detection_rates(curves, [FALSE_ALARM_RATES[figure]])[:, 0]
    return 1 - detected if figure == "missed_detection_at_5_percent_fpr" else detected


def minimum_error(curves: RocCurves) -> NDArray[np.float64]:
    """Return P_E: the minimum over thresholds of the mean of false alarm rate and missed detection rate.

    Source: Fridrich and Kodovský, Rich Models for Steganalysis of Digital Images, IEEE TIFS 7 (2012).
    """
    smallest: NDArray[np.int64] = _signed_errors(curves).min(axis=1)
    return (1 + smallest / (curves.clean * curves.stego)) / 2


def minimum_error_vertex(curves: RocCurves) -> NDArray[np.int64]:
    """Return the vertex of P_E on each curve, shape (curves,)."""
    vertices: NDArray[np.int64] = _signed_errors(curves).argmin(axis=1)
    return vertices


def detection_rates(curves: RocCurves, rates: list[Fraction]) -> NDArray[np.float64]:
    """Return the detection rate at the largest false alarm rate up to each limit, shape (curves, rates).

    The missed detection rate at 5% false alarms is MD5 of the ALASKA challenge. Source: Cogranne, Giboulot and Bas, The
    ALASKA Steganalysis Challenge, IH&MMSec 2019.
    """
    vertices = detection_vertices(curves, rates)
    return np.take_along_axis(curves.detections, vertices, axis=1) / curves.stego[:, np.newaxis]


def detection_vertices(curves: RocCurves, rates: list[Fraction]) -> NDArray[np.int64]:
    """Return the last vertex whose false alarm rate is at most each limit, shape (curves, rates)."""
    numerators = np.array([rate.numerator for rate in rates])
    denominators = np.array([rate.denominator for rate in rates])
    # Whole numbers, so that a rate that equals the limit is never lost to rounding.
    allowed = curves.clean[:, np.newaxis] * numerators // denominators
    return _search(curves.false_alarms, allowed, "right") - 1


def false_alarms_at_half_detection(curves: RocCurves) -> NDArray[np.float64]:
    """Return FP50: the smallest false alarm rate at which at least half of the stego files are detected.

    Source: Cogranne, Giboulot and Bas, The ALASKA Steganalysis Challenge, IH&MMSec 2019.
    """
    vertices = half_detection_vertex(curves)[:, np.newaxis]
    return np.take_along_axis(curves.false_alarms, vertices, axis=1)[:, 0] / curves.clean


def half_detection_vertex(curves: RocCurves) -> NDArray[np.int64]:
    """Return the first vertex at which at least half of the stego files are detected, shape (curves,)."""
    return _search(curves.detections, (curves.stego[:, np.newaxis] + 1) // 2, "left")[:, 0]


def weighted_auc(curves: RocCurves) -> NDArray[np.float64]:
    """Return the weighted AUC: the mean of 1 − false alarm rate over the detection rate, up to 0.4 with weight 2.

    The curve is interpolated linearly between its vertices; 1 is perfect. Source: Cogranne, Giboulot and Bas,
    ALASKA#2: Challenging Academic Research on Steganalysis with Realistic Images, IEEE WIFS 2020.
    """
    false_alarms, detections = curves.false_alarms, curves.detections
    clean, stego = curves.clean, curves.stego
    steps = np.diff(detections, axis=1)
    # Twice the area below each step, in files × files: exact.
    doubled = steps * (2 * clean[:, np.newaxis] - false_alarms[:, :-1] - false_alarms[:, 1:])
    areas = np.concatenate((np.zeros((len(doubled), 1), dtype=np.int64), np.cumsum(doubled, axis=1)), axis=1)
    limit = WEIGHTED_BELOW * stego.astype(np.float64)
    last = _search(detections, limit[:, np.newaxis], "left")
    before = last - 1

    def at(values: NDArray[np.int64], vertices: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.take_along_axis(values, vertices, axis=1)[:, 0]

    start = at(detections, before)
    height = limit - start
    slope = (at(false_alarms, last) - at(false_alarms, before)) / (at(detections, last) - start)
    part = at(areas, before) + height * (2 * (clean - at(false_alarms, before)) - slope * height)
    # The rounding of 1 + 0.4 must not exceed 1.
    values: NDArray[np.float64] = np.minimum((areas[:, -1] + part) / (2 * clean * stego) / (1 + WEIGHTED_BELOW), 1.0)
    return values


def _signed_errors(curves: RocCurves) -> NDArray[np.int64]:
    """Return false alarm rate − detection rate at each vertex, multiplied by clean · stego files: exact."""
    return curves.false_alarms * curves.stego[:, np.newaxis] - curves.detections * curves.clean[:, np.newaxis]


def _search(
    ascending: NDArray[np.int64], values: NDArray[np.int64] | NDArray[np.float64], side: Literal["left", "right"]
) -> NDArray[np.int64]:
    """Return np.searchsorted of each row, shape of `values`."""
    rows = [np.searchsorted(row, wanted, side=side) for row, wanted in zip(ascending, values, strict=True)]
    return np.array(rows, dtype=np.int64).reshape(values.shape)

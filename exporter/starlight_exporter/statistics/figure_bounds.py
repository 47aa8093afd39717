"""Exact bounds of figures of merit, which hold where resamples of the covers vary too little or not at all."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.statistics.clustered import ClusterCounts, clustered_proportion
from starlight_exporter.statistics.figures_of_merit import (
    FALSE_ALARM_RATES,
    WEIGHTED_BELOW,
    Figure,
    detection_vertices,
    half_detection_vertex,
    minimum_error_vertex,
)
from starlight_exporter.statistics.intervals import Proportion
from starlight_exporter.statistics.roc import RankedFiles, RocCurves


def exact_bounds(files: RankedFiles, observed: RocCurves, figure: Figure, value: float) -> tuple[float, float]:
    """Return bounds of a figure from one source of variation at a time.

    A rate at a threshold has its Clopper-Pearson interval, at the effective sample size of shared covers. A threshold
    that is chosen by a rate of one class is between the thresholds whose intervals contain that rate; this is the
    interval of a quantile by order statistics (David and Nagaraja, Order Statistics, 2003, section 7.1). With fewer
    than 3.7 / rate clean files, none of them may be above the true threshold, which then has no upper bound.
    """
    if figure == "p_e":
        vertex = int(minimum_error_vertex(observed)[0])
        false_alarms = _positive(files.clean_covers, int(files.clean_ends[vertex]))
        detections = _positive(files.stego_covers, int(files.stego_ends[vertex]))
        # Method of variance estimates recovery (Zou and Donner, Statistics in Medicine 27, 2008).
        return (
            value - math.hypot(_below(false_alarms), _above(detections)) / 2,
            value + math.hypot(_above(false_alarms), _below(detections)) / 2,
        )
    if figure == "weighted_auc":
        return _weighted_auc_bounds(files, value)
    if figure == "false_alarms_at_50_percent_detection":
        vertex = int(half_detection_vertex(observed)[0])
        rate = _positive(files.clean_covers, int(files.clean_ends[vertex]))
        low, high = _false_alarms_at(files, 0.5)
        return min(low, value - _below(rate)), max(high, value + _above(rate))
    limit = FALSE_ALARM_RATES[figure]
    vertex = int(detection_vertices(observed, [limit])[0, 0])
    rate = _positive(files.stego_covers, int(files.stego_ends[vertex]))
    low, high = _detections_at(files, float(limit))
    if figure == "missed_detection_at_5_percent_fpr":
        return min(1 - high, value - _above(rate)), max(1 - low, value + _below(rate))
    return min(low, value - _below(rate)), max(high, value + _above(rate))


def _weighted_auc_bounds(files: RankedFiles, value: float) -> tuple[float, float]:
    """Return exact bounds of a weighted AUC of 1 or 0, from the rates that are consistent with no wrong file.

    Between the bounds of both rates, the ROC curve can be at worst a step: all false alarms beyond the upper bound of
    the missed detection rate. Other values have no exact bounds, and are their own bounds.
    """
    if 0 < value < 1:
        return value, value
    clean = _above(_positive(files.clean_covers, 0))
    stego = _above(_positive(files.stego_covers, 0))
    total = 1 + WEIGHTED_BELOW
    if value == 1:
        return 1 - (clean * (total - stego) + stego) / total, 1.0
    return 0.0, (clean * (total - 2 * stego) + 2 * stego) / total


def _detections_at(files: RankedFiles, rate: float) -> tuple[float, float]:
    """Return the detection rates at the thresholds whose false alarm rate is consistent with `rate`."""
    few, many = _consistent(files.clean_covers, rate)
    # The threshold is below the first `few` clean files, and not below the next one after `many`.
    low = int(np.searchsorted(files.clean_ends, few, side="left"))
    high = int(np.searchsorted(files.clean_ends, many, side="right")) - 1
    first = 0 if few == 0 else int(files.stego_ends[low - 1])
    return first / len(files.stego_covers), int(files.stego_ends[high]) / len(files.stego_covers)


def _false_alarms_at(files: RankedFiles, rate: float) -> tuple[float, float]:
    """Return the false alarm rates at the thresholds whose detection rate is consistent with `rate`."""
    few, many = _consistent(files.stego_covers, rate)
    low = int(np.searchsorted(files.stego_ends, few, side="left"))
    high = int(np.searchsorted(files.stego_ends, min(many + 1, len(files.stego_covers)), side="left"))
    return int(files.clean_ends[low]) / len(files.clean_covers), int(files.clean_ends[high]) / len(files.clean_covers)


def _consistent(covers: NDArray[np.int64], rate: float) -> tuple[int, int]:
    """Return the smallest and largest number of first files whose share has an interval that contains `rate`."""
    files = len(covers)
    # Bounds increase with the number of files; that of `rate` itself contains it.
    middle = round(rate * files)
    low, few = -1, middle
    while few - low > 1:
        guess = (low + few) // 2
        low, few = (low, guess) if _upper(covers, guess) >= rate else (guess, few)
    many, high = middle, files + 1
    while high - many > 1:
        guess = (many + high) // 2
        many, high = (guess, high) if _lower(covers, guess) <= rate else (many, guess)
    return few, many


def _positive(covers: NDArray[np.int64], first: int) -> Proportion:
    """Return the share of the files up to the `first` one, with an interval that accounts for shared covers."""
    sizes = np.bincount(covers)
    events = np.bincount(covers[:first], minlength=len(sizes))
    return clustered_proportion(ClusterCounts.of(sizes[sizes > 0], events[sizes > 0]))


def _lower(covers: NDArray[np.int64], first: int) -> float:
    return first / len(covers) - _below(_positive(covers, first))


def _upper(covers: NDArray[np.int64], first: int) -> float:
    return first / len(covers) + _above(_positive(covers, first))


def _below(rate: Proportion) -> float:
    """Return the distance of the lower bound, which exists with two covers or more."""
    assert rate.ratio is not None
    assert rate.lower is not None
    return rate.ratio - rate.lower


def _above(rate: Proportion) -> float:
    """Return the distance of the upper bound, which exists with two covers or more."""
    assert rate.ratio is not None
    assert rate.upper is not None
    return rate.upper - rate.ratio

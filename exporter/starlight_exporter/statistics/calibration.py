"""Calibration curve: observed share of stego files by predicted probability."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.statistics.clustered import ClusterCounts, clustered_proportion
from starlight_exporter.statistics.intervals import Proportion
from starlight_exporter.statistics.scores import Scores, calibration_bins


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Files with predicted probabilities in (low, high]: their mean probability, and how many are stego."""

    low: float
    high: float
    mean_probability: float
    stego: Proportion


def calibration_curve(scores: Scores, covers: NDArray[np.int64]) -> tuple[CalibrationBin, ...]:
    """Return the bins that contain files, in ascending order; empty unless both classes are present.

    `covers` are the numbers of the covers, shape (files,); the intervals account for shared covers. Source: DeGroot and
    Fienberg, The Statistician 32 (1983), with the bins of the expected calibration error.
    """
    if scores.is_stego.all() or not scores.is_stego.any():
        return ()
    bins, edges = calibration_bins(scores)
    curve = []
    for number in np.unique(bins).tolist():
        inside = bins == number
        files = int(np.count_nonzero(inside))
        curve.append(
            CalibrationBin(
                low=edges[number],
                high=edges[number + 1],
                mean_probability=math.fsum(scores.probabilities[inside].tolist()) / files,
                stego=clustered_proportion(ClusterCounts.by_cover(covers[inside], scores.is_stego[inside])),
            )
        )
    return tuple(curve)

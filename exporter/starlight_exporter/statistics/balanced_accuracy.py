"""Balanced accuracy: the mean of the recalls of all classes, with an interval for files that share covers."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from starlight_exporter.statistics.intervals import CONFIDENCE, TAIL, Interval, clopper_pearson


def balanced_accuracy(correct: ArrayLike, classes: ArrayLike, covers: ArrayLike) -> Interval:
    """Return the mean recall of the classes with its 95% interval; each argument has one entry per file.

    A file of class k has the weight 1 / (classes · files of k). The interval is that of Clopper and Pearson at the
    effective sample size of Korn and Graubard (Survey Methodology 24, 1998), at most Kish's effective number of covers,
    which also accounts for small classes without an error. With one cover the bounds are None. Raise ValueError for
    different lengths or without a file.
    """
    right = np.asarray(correct, dtype=np.float64)
    _, own = np.unique(classes, return_inverse=True)
    _, cover = np.unique(covers, return_inverse=True)
    if right.ndim != 1 or right.size == 0 or not right.shape == own.shape == cover.shape:
        raise ValueError(f"expected one class and cover per file, got {right.shape}, {own.shape}, {cover.shape}")
    sizes = np.bincount(own)
    recalls = np.bincount(own, weights=right) / sizes
    value = float(recalls.mean())
    weights = 1.0 / (len(sizes) * sizes[own])
    files, of_covers = len(right), np.bincount(cover, weights=weights)
    count = len(of_covers)
    if count < 2:
        return Interval(value, None, None)
    size = min(1.0 / float(np.sum(of_covers**2)), float(files))
    deviations = np.bincount(cover, weights=weights * (right - recalls[own]))
    variance = count / (count - 1) * float(np.sum(deviations**2))
    if variance > 0:
        upper = 1 - (1 - CONFIDENCE) / 2
        ratio = float(special.stdtrit(files - 1, upper)) / float(special.stdtrit(count - 1, upper))
        size = min(size, value * (1 - value) / variance * ratio**2)
    lower, upper_bound = clopper_pearson(value * size, size, TAIL)
    return Interval(value, min(value, lower), max(value, upper_bound))

"""Difference of the rates of two models on the same files, with an interval and an exact test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starlight_exporter.statistics.clustered import ClusterCounts, effective_sample_size
from starlight_exporter.statistics.paired import paired_upper_limit, sign_flip_p_value


@dataclass(frozen=True, slots=True)
class RateDifference:
    """Rate of the first model minus that of the second, with its 95% interval and two-sided p-value.

    `only_first` and `only_second` are the files that are positive for one model only.
    """

    value: float
    lower: float
    upper: float
    only_first: int
    only_second: int
    p_value: float


def rate_difference(first: ArrayLike, second: ArrayLike, covers: NDArray[np.int64]) -> RateDifference:
    """Return the difference of two models' verdicts (True: positive) on the same files of at least two covers.

    Each argument has one entry per file. The interval is by the method of variance estimates recovery from the limits
    of both discordant counts, at the effective sample size of shared covers (see `paired_upper_limit`). The test flips
    the signs of the differences of whole covers, exactly (see `sign_flip_p_value`); with one file per cover, it is the
    exact McNemar test. Raise ValueError for less than two covers.
    """
    one, other = np.asarray(first, dtype=np.bool_), np.asarray(second, dtype=np.bool_)
    clusters = ClusterCounts.by_cover(covers, one != other)
    size = float(one.size) if clusters.independent else effective_sample_size(clusters)
    if size is None or one.size < 2:
        raise ValueError("expected files of at least 2 covers")
    only_first, only_second = int(np.count_nonzero(one & ~other)), int(np.count_nonzero(other & ~one))
    _, index = np.unique(covers, return_inverse=True)
    change = one.astype(np.int64) - other.astype(np.int64)
    per_cover = np.bincount(index, weights=change).astype(np.int64)
    share = size / one.size

    def upper_limit(more: int, fewer: int) -> float:
        limit = paired_upper_limit(broken=more * share, fixed=fewer * share, both_wrong=0.0, files=size, factor=1.0)
        return min(1.0, limit)

    return RateDifference(
        value=(only_first - only_second) / one.size,
        lower=-upper_limit(only_second, only_first),
        upper=upper_limit(only_first, only_second),
        only_first=only_first,
        only_second=only_second,
        p_value=min(1.0, 2 * min(sign_flip_p_value(per_cover), sign_flip_p_value(-per_cover))),
    )

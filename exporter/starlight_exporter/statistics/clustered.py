"""Proportions of files that share covers: intervals and tests at the effective sample size.

Files made from one cover image succeed or fail together, so counting them as independent makes intervals too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from starlight_exporter.statistics.intervals import CONFIDENCE, Proportion, clopper_pearson, proportion

MIN_COVERS_WITH_EACH_OUTCOME = 5
"""With fewer covers that have an event (or a non-event), the variance estimate between covers is unreliable."""
MAX_COVER_SHARE = 0.05
"""A cover that holds more of the files than this dominates the variance estimate."""


@dataclass(frozen=True, slots=True)
class ClusterCounts:
    """Files and events per cover, shape (covers,) each; every cover has at least one file."""

    files: NDArray[np.int64]
    events: NDArray[np.int64]

    @classmethod
    def of(cls, files: ArrayLike, events: ArrayLike) -> ClusterCounts:
        """Check and convert; ValueError for unequal shapes, empty covers, or events outside 0..files."""
        n, y = np.asarray(files, dtype=np.int64), np.asarray(events, dtype=np.int64)
        if n.ndim != 1 or n.shape != y.shape:
            raise ValueError(f"expected two arrays of the same length, got {n.shape} and {y.shape}")
        if bool(np.any(n < 1)) or bool(np.any((y < 0) | (y > n))):
            raise ValueError("expected at least 1 file per cover, and between 0 and that many events")
        return cls(n, y)

    @classmethod
    def by_cover(cls, covers: ArrayLike, events: ArrayLike) -> ClusterCounts:
        """Group files by their cover: `covers` and `events` have one entry per file."""
        _, index = np.unique(np.asarray(covers), return_inverse=True)
        files = np.bincount(index)
        return cls.of(files, np.bincount(index, weights=np.asarray(events, dtype=np.float64)).astype(np.int64))

    @property
    def independent(self) -> bool:
        """Whether every file has a cover of its own."""
        return bool(np.all(self.files == 1))


def effective_sample_size(counts: ClusterCounts) -> float | None:
    """Return the number of independent files that carry as much information; None with fewer than two covers.

    Source: Korn and Graubard, Survey Methodology 24 (1998), with the number of equally sized covers (Kish) as upper
    limit where the variance between covers cannot be estimated: no variance, few covers with an event or with a
    non-event, or one dominant cover.
    """
    files, events = counts.files.astype(np.float64), counts.events.astype(np.float64)
    n, covers = float(files.sum()), len(files)
    if covers < 2:
        return None
    p = float(events.sum()) / n
    variance = covers / (covers - 1) * float(np.sum((events - p * files) ** 2)) / n**2
    if variance == 0.0:
        size = n
    else:
        upper = 1 - (1 - CONFIDENCE) / 2
        ratio = float(special.stdtrit(n - 1, upper)) / float(special.stdtrit(covers - 1, upper))
        size = min(n, p * (1 - p) / variance * ratio**2)
    unreliable = (
        variance == 0.0
        or int(np.count_nonzero(events > 0)) < MIN_COVERS_WITH_EACH_OUTCOME
        or int(np.count_nonzero(events < files)) < MIN_COVERS_WITH_EACH_OUTCOME
        or float(files.max()) > MAX_COVER_SHARE * n
    )
    return min(size, n**2 / float(np.sum(files**2))) if unreliable else size


def clustered_proportion(counts: ClusterCounts) -> Proportion:
    """Return the proportion of files with an event, with a 95% interval that accounts for shared covers.

    Where every file has a cover of its own, this is the exact interval. With one cover the bounds are None.
    """
    total, count = int(counts.files.sum()), int(counts.events.sum())
    if counts.independent:
        return proportion(count, total)
    size = effective_sample_size(counts)
    if size is None:
        return Proportion(count, total, count / total, None, None, len(counts.files))
    lower, upper = clopper_pearson(count / total * size, size, (1 - CONFIDENCE) / 2)
    return Proportion(count, total, count / total, lower, upper, len(counts.files))


def binomial_p_value_high(count: float, total: float, limit: float) -> float:
    """Return P(X >= count) for X ~ Bin(total, limit); fractional counts by the regularised incomplete beta function.

    A limit above 1, such as a baseline + margin, counts as 1.
    """
    return 1.0 if count <= 0 else float(special.betainc(count, total - count + 1, min(limit, 1.0)))

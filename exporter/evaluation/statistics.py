"""Exact intervals, ranking, calibration and paired tests. Whatever has nothing to measure is None, never a zero.

`scipy.special` is used rather than `scipy.stats`: the same functions behind one third of the memory and start-up time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from exporter.evaluation.evaluation import Proportion

CONFIDENCE = 0.95
CALIBRATION_BINS = 15


@dataclass(frozen=True, slots=True)
class Scores:
    """Probabilities of stego, shape (images,), and what the images are: True for stego, same shape."""

    probabilities: NDArray[np.float64]
    is_stego: NDArray[np.bool_]

    @classmethod
    def of(cls, probabilities: ArrayLike, is_stego: ArrayLike) -> Scores:
        """Checked arrays; ValueError for unequal shapes or a probability outside 0..1 (NaN included)."""
        p = np.asarray(probabilities, dtype=np.float64)
        y = np.asarray(is_stego, dtype=np.bool_)
        if p.ndim != 1 or p.shape != y.shape:
            raise ValueError(f"expected two arrays of the same length, got {p.shape} and {y.shape}")
        if not bool(np.all((p >= 0.0) & (p <= 1.0))):
            raise ValueError("a probability is outside 0..1")
        return cls(p, y)


def proportion(count: int, total: int) -> Proportion:
    """`count` of `total` with the exact two-sided 95 % interval; ValueError unless 0 <= count <= total.

    Source: Clopper and Pearson, Biometrika 26 (1934); as quantiles of the beta distribution.
    """
    if not 0 <= count <= total:
        raise ValueError(f"{count} of {total} is not a proportion")
    if total == 0:
        return Proportion(0, 0, None, None, None)
    return Proportion(count, total, count / total, _lower_bound(count, total), _upper_bound(count, total))


def _lower_bound(count: int, total: int) -> float:
    return 0.0 if count == 0 else float(special.betaincinv(count, total - count + 1, (1 - CONFIDENCE) / 2))


def _upper_bound(count: int, total: int) -> float:
    return 1.0 if count == total else float(special.betaincinv(count + 1, total - count, (1 + CONFIDENCE) / 2))


def images_needed_to_confirm(target: float, *, failures: int = 0) -> int:
    """The fewest images among which `failures` failures leave the upper bound of `proportion` below `target`.

    With no failure this is the first n with 1 - 0.025^(1/n) < target. ValueError for a target outside 0..1 (exclusive).
    """
    if not 0.0 < target < 1.0 or failures < 0:
        raise ValueError(f"expected a target between 0 and 1 and no negative failures, got {target!r} and {failures}")
    below, enough = failures, failures + 1
    while _upper_bound(failures, enough) >= target:
        below, enough = enough, enough * 2
    while enough - below > 1:
        middle = (below + enough) // 2
        if _upper_bound(failures, middle) < target:
            enough = middle
        else:
            below = middle
    return enough


def roc_auc(scores: Scores) -> float | None:
    """Area under the ROC curve: how often a stego image outscores a clean one, ties half; None without both classes.

    Source: Mann and Whitney 1947, by mid-ranks (Hanley and McNeil, Radiology 143, 1982).
    """
    positives = int(np.count_nonzero(scores.is_stego))
    negatives = scores.is_stego.size - positives
    if positives == 0 or negatives == 0:
        return None
    _, place, counts = np.unique(scores.probabilities, return_inverse=True, return_counts=True)
    # Twice the mid-rank is a whole number, so that the sum below is exact.
    twice_ranks = 2 * np.cumsum(counts) - counts + 1
    twice_sum = int(twice_ranks[place][scores.is_stego].sum())
    return (twice_sum - positives * (positives + 1)) / (2 * positives * negatives)


def log_loss(scores: Scores) -> float | None:
    """Mean negative log-likelihood in nats, probabilities clipped to [eps, 1 - eps] of float64; None without images.

    Source: Good 1952; clipping as scikit-learn's `log_loss` does since 1.3.
    """
    if scores.is_stego.size == 0:
        return None
    eps = float(np.finfo(np.float64).eps)
    p = np.clip(scores.probabilities, eps, 1 - eps)
    # fsum, not mean: the result does not depend on how the runtime splits a sum.
    return -math.fsum(np.where(scores.is_stego, np.log(p), np.log1p(-p)).tolist()) / p.size


def expected_calibration_error(scores: Scores) -> float | None:
    """Mean distance between probability of stego and share of stego over 15 equal-width bins; None without images.

    Bins are (i/15, (i+1)/15], the first with 0; each weighs by its images. Source: Guo et al., On Calibration of
    Modern Neural Networks, ICML 2017 (there of the winning class; here of the one class "stego").
    """
    if scores.is_stego.size == 0:
        return None
    edges = np.arange(1, CALIBRATION_BINS) / CALIBRATION_BINS
    bins = np.searchsorted(edges, scores.probabilities, side="left")
    difference = np.bincount(bins, scores.probabilities - scores.is_stego, CALIBRATION_BINS)
    return math.fsum(np.abs(difference).tolist()) / scores.is_stego.size


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its two-sided 95 % interval; the bounds are None where one value alone gives no spread."""

    value: float
    lower: float | None
    upper: float | None


def mean_with_interval(values: ArrayLike) -> Interval | None:
    """The mean of independent values (of paired differences, say) with Student's t interval; None without values.

    Source: Student, The Probable Error of a Mean, Biometrika 6 (1908).
    """
    x = np.asarray(values, dtype=np.float64)
    if x.size == 0:
        return None
    mean = math.fsum(x.tolist()) / x.size
    if x.size == 1:
        return Interval(mean, None, None)
    deviation = math.sqrt(math.fsum(((x - mean) ** 2).tolist()) / (x.size - 1) / x.size)
    reach = float(special.stdtrit(x.size - 1, (1 + CONFIDENCE) / 2)) * deviation
    return Interval(mean, mean - reach, mean + reach)


def mcnemar_p_value(fixed: int, broken: int) -> float | None:
    """Two-sided exact McNemar test over paired verdicts that flipped; None where none flipped, ValueError below zero.

    Under the null hypothesis a flip goes either way with probability 1/2. Source: McNemar, Psychometrika 12 (1947),
    exact binomial form.
    """
    if fixed < 0 or broken < 0:
        raise ValueError(f"expected counts, got {fixed} and {broken}")
    if fixed + broken == 0:
        return None
    return min(1.0, 2.0 * float(special.bdtr(min(fixed, broken), fixed + broken, 0.5)))


def quantile_sample_needed(quantile: float) -> int:
    """How many timings until the largest one exceeds the quantile with 95 % confidence: ceil(ln 0.05 / ln q)."""
    if not 0.0 < quantile < 1.0:
        raise ValueError(f"expected a quantile between 0 and 1, got {quantile!r}")
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(quantile))


def quantile_ranks(quantile: float, images: int) -> tuple[int, int | None, int | None]:
    """Ranks (from 1) of the order statistic that is the quantile, and of those that enclose it with 95 % confidence.

    The quantile is the smallest value with at least `quantile` of the sample at or below it. The bounds hold for any
    distribution; None where the sample is too small. Source: David and Nagaraja, Order Statistics, 2003, section 7.1.
    """
    if not 0.0 < quantile < 1.0 or images < 1:
        raise ValueError(f"expected a quantile between 0 and 1 of at least one timing, got {quantile!r} of {images}")
    tail = (1 - CONFIDENCE) / 2
    at_most = special.bdtr(np.arange(images, dtype=np.float64), images, quantile)
    # at_most[r - 1] = P(fewer than r timings at or below the quantile) = P(the r-th lies above it).
    lower = int(np.count_nonzero(at_most <= tail))
    upper = int(np.count_nonzero(at_most < 1 - tail)) + 1
    rank = min(images, max(1, math.ceil(round(quantile * images, 9))))
    return rank, lower or None, upper if upper <= images else None

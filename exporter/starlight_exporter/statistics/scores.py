"""Scores of predicted probabilities: ROC AUC, log loss and calibration error."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

CALIBRATION_BINS = 15


@dataclass(frozen=True, slots=True)
class Scores:
    """Predicted probabilities of stego and the true classes (True: stego), both of shape (images,)."""

    probabilities: NDArray[np.float64]
    is_stego: NDArray[np.bool_]

    @classmethod
    def of(cls, probabilities: ArrayLike, is_stego: ArrayLike) -> Scores:
        """Validate and convert. Raises ValueError for different shapes or a probability outside 0..1 (or NaN)."""
        p = np.asarray(probabilities, dtype=np.float64)
        y = np.asarray(is_stego, dtype=np.bool_)
        if p.ndim != 1 or p.shape != y.shape:
            raise ValueError(f"expected two arrays of the same length, got {p.shape} and {y.shape}")
        if not bool(np.all((p >= 0.0) & (p <= 1.0))):
            raise ValueError("a probability is outside 0..1")
        return cls(p, y)


def roc_auc(scores: Scores) -> float | None:
    """Return the area under the ROC curve, or None unless both classes are present.

    It is the probability that a stego image scores higher than a clean one, with ties counted half. Source: Mann and
    Whitney 1947, by mid-ranks (Hanley and McNeil, Radiology 143, 1982).
    """
    positives = int(np.count_nonzero(scores.is_stego))
    negatives = scores.is_stego.size - positives
    if positives == 0 or negatives == 0:
        return None
    _, positions, counts = np.unique(scores.probabilities, return_inverse=True, return_counts=True)
    # Twice the mid-rank is an integer, so that the sum is exact.
    twice_ranks = 2 * np.cumsum(counts) - counts + 1
    twice_sum = int(twice_ranks[positions][scores.is_stego].sum())
    return (twice_sum - positives * (positives + 1)) / (2 * positives * negatives)


def log_loss(scores: Scores) -> float | None:
    """Return the mean negative log-likelihood in nats, or None without images.

    Probabilities are clipped to [eps, 1 - eps] of float64, as in scikit-learn since 1.3. Source: Good 1952.
    """
    if scores.is_stego.size == 0:
        return None
    eps = float(np.finfo(np.float64).eps)
    p = np.clip(scores.probabilities, eps, 1 - eps)
    # fsum, because the result of mean() depends on how numpy splits the sum.
    return -math.fsum(np.where(scores.is_stego, np.log(p), np.log1p(-p)).tolist()) / p.size


def expected_calibration_error(scores: Scores) -> float | None:
    """Return the mean distance between predicted and observed share of stego over 15 bins, or None without images.

    Bins are (i/15, (i+1)/15], the first one including 0, weighted by their number of images. Source: Guo et al., On
    Calibration of Modern Neural Networks, ICML 2017 (for the winning class; here for the class stego).
    """
    if scores.is_stego.size == 0:
        return None
    bins, _ = calibration_bins(scores)
    difference = scores.probabilities - scores.is_stego
    # fsum, because the result of bincount() depends on the order of the images.
    sums = (abs(math.fsum(difference[bins == number].tolist())) for number in range(CALIBRATION_BINS))
    return math.fsum(sums) / scores.is_stego.size


def calibration_bins(scores: Scores) -> tuple[NDArray[np.int64], tuple[float, ...]]:
    """Return the bin of each image, shape (images,), and the edges: bin i is (i/15, (i+1)/15], the first includes 0."""
    edges = np.arange(CALIBRATION_BINS + 1) / CALIBRATION_BINS
    return np.searchsorted(edges[1:-1], scores.probabilities, side="left"), tuple(edges.tolist())

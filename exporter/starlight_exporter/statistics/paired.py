"""Paired comparison of two models on the same files: exact one-sided tests, and limits of the difference."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from starlight_exporter.statistics.intervals import CONFIDENCE, clopper_pearson


def sign_flip_p_value(differences: ArrayLike) -> float:
    """Return P(S >= sum of differences) if the sign of each cover's difference is random; 1 without any difference.

    `differences` holds broken minus fixed files per cover, shape (covers,). The distribution of S is exact: for each
    size v that occurs k times, v·(2·Bin(k, ½) − k), combined by convolution. With one file per cover this is the
    one-sided exact McNemar test. Source: Fisher's randomisation test (The Design of Experiments, 1935) over covers.
    """
    d = np.asarray(differences, dtype=np.int64)
    d = d[d != 0]
    if len(d) == 0:
        return 1.0
    sizes, repeats = np.unique(np.abs(d), return_counts=True)
    distribution: NDArray[np.float64] = np.ones(1)
    for size, repeat in zip(sizes.tolist(), repeats.tolist(), strict=True):
        steps = np.zeros(2 * size * repeat + 1)
        steps[:: 2 * size] = _binomial_half(repeat)
        # Direct convolution keeps the relative accuracy of small tail probabilities, which an FFT loses.
        distribution = np.convolve(distribution, steps)
    # Index i of the distribution is the value i - reach.
    reach = int(np.sum(np.abs(d)))
    return float(min(1.0, np.sum(distribution[reach + int(d.sum()) :])))


def paired_upper_limit(*, broken: float, fixed: float, both_wrong: float, files: float, factor: float) -> float:
    """Return the 97.5% upper limit of (broken − factor·fixed − (factor − 1)·both_wrong) / files.

    The limit of this linear combination is formed from the Clopper–Pearson limits of its parts by the method of
    variance estimates recovery (MOVER; Zou and Donner, Statistics in Medicine 27, 2008).
    """
    terms = ((broken, 1.0), (fixed, -factor), (both_wrong, 1.0 - factor))
    estimate, recovered = 0.0, 0.0
    for count, weight in terms:
        lower, upper = clopper_pearson(count, files, (1 - CONFIDENCE) / 2)
        rate = count / files
        estimate += weight * rate
        recovered += (weight * ((upper if weight > 0 else lower) - rate)) ** 2
    return estimate + math.sqrt(recovered)


def _binomial_half(trials: int) -> NDArray[np.float64]:
    """Return the probabilities of 0..trials successes at probability ½, shape (trials + 1,)."""
    k = np.arange(trials + 1)
    logs = special.gammaln(trials + 1) - special.gammaln(k + 1) - special.gammaln(trials - k + 1)
    return np.exp(logs - trials * math.log(2.0))

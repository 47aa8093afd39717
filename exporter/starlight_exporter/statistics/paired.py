"""Paired comparison of two models on the same files: exact one-sided tests, and limits of the difference."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from starlight_exporter.statistics.intervals import CONFIDENCE, clopper_pearson

_NEGLIGIBLE = 1e-300
"""Smaller probabilities are omitted: most numbers of successes in many trials."""


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
    # Probabilities of the values start, start + 1, …
    distribution: NDArray[np.float64] = np.ones(1)
    start = 0
    for size, repeat in zip(sizes.tolist(), repeats.tolist(), strict=True):
        first, probabilities = _binomial_half(repeat)
        start += size * (2 * first - repeat)
        distribution = _with_steps(distribution, probabilities, 2 * size)
    return float(min(1.0, np.sum(distribution[max(0, int(d.sum()) - start) :])))


def _with_steps(
    distribution: NDArray[np.float64], probabilities: NDArray[np.float64], step: int
) -> NDArray[np.float64]:
    """Return the distribution of the sum with an independent variable that is a multiple of `step`."""
    result = np.zeros(len(distribution) + step * (len(probabilities) - 1))
    for place in range(min(step, len(distribution))):
        # Direct convolution keeps the relative accuracy of small tail probabilities, which an FFT loses.
        result[place::step][: -(-(len(distribution) - place) // step) + len(probabilities) - 1] = np.convolve(
            distribution[place::step], probabilities
        )
    return result


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


def _binomial_half(trials: int) -> tuple[int, NDArray[np.float64]]:
    """Return the first number of successes with a probability above _NEGLIGIBLE, and the probabilities from there.

    The probability of a success is ½. Of many trials, most numbers are negligible.
    """
    k = np.arange(trials + 1)
    logs = special.gammaln(trials + 1) - special.gammaln(k + 1) - special.gammaln(trials - k + 1)
    probabilities: NDArray[np.float64] = np.exp(logs - trials * math.log(2.0))
    kept = np.flatnonzero(probabilities > _NEGLIGIBLE)
    return int(kept[0]), probabilities[kept[0] : kept[-1] + 1]

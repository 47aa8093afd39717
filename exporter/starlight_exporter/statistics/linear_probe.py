"""Linear probe: predict classes from vectors with a linear classifier, out of sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

FOLDS: Final = 5
SHRINKAGE: Final = 1e-4
"""Share of the average variance in the covariance, so that dimensions without variance do not make it singular."""


@dataclass(frozen=True, slots=True, eq=False)
class LinearDiscriminant:
    """A linear classifier: `weights` of shape (classes, dimensions), `bias` (classes,), `labels` (classes,)."""

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    labels: NDArray[np.int64]

    def predict(self, vectors: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the label with the largest score of each vector, shape (vectors,)."""
        return self.labels[(vectors @ self.weights.T + self.bias).argmax(axis=1)]


def linear_discriminant(vectors: NDArray[np.float64], labels: NDArray[np.int64]) -> LinearDiscriminant:
    """Fit a linear discriminant analysis on standardised vectors, shape (vectors, dimensions).

    One covariance of all classes, with SHRINKAGE of its mean variance; priors are the shares of the classes. It has a
    closed form, unlike logistic regression. Source: Fisher, Annals of Eugenics 7 (1936); Friedman, Journal of the
    American Statistical Association 84 (1989) for the shrinkage.
    """
    present, own = np.unique(labels, return_inverse=True)
    sizes = np.bincount(own).astype(np.float64)
    mean, deviation = vectors.mean(axis=0), vectors.std(axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    x = (vectors - mean) / scale
    means = (np.eye(len(present))[own].T @ x) / sizes[:, np.newaxis]
    within = x - means[own]
    covariance = within.T @ within / len(x)
    shrunk = (1 - SHRINKAGE) * covariance
    # Without any variance within the classes, every positive diagonal gives the nearest mean.
    shrunk[np.diag_indices_from(shrunk)] += SHRINKAGE * (float(np.trace(covariance)) / len(covariance) or 1.0)
    weights = np.linalg.solve(shrunk, means.T).T
    bias = -0.5 * np.einsum("ij,ij->i", means, weights) + np.log(sizes / len(x))
    return LinearDiscriminant(weights / scale, bias - weights @ (mean / scale), present)


def out_of_sample_labels(vectors: ArrayLike, labels: ArrayLike, covers: ArrayLike, *, seed: int) -> NDArray[np.int64]:
    """Return the label of each vector that a linear classifier predicts which was fitted without its cover.

    `vectors` has shape (vectors, dimensions), `labels` and `covers` are integers, shape (vectors,). Raise ValueError
    for different lengths, values that are not finite, or fewer covers than FOLDS. Source: linear classifier probes,
    Alain and Bengio, arXiv:1610.01644 (2016).
    """
    x, classes, groups = np.asarray(vectors, np.float64), np.asarray(labels, np.int64), np.asarray(covers, np.int64)
    if x.ndim != 2 or classes.shape != (len(x),) or groups.shape != (len(x),):
        raise ValueError(f"expected one label and cover per vector, got {x.shape}, {classes.shape}, {groups.shape}")
    if not np.isfinite(x).all():
        raise ValueError("expected finite values")
    folds = grouped_folds(classes, groups, seed=seed)
    predicted = np.empty(len(x), np.int64)
    for fold in range(FOLDS):
        outside = folds == fold
        predicted[outside] = linear_discriminant(x[~outside], classes[~outside]).predict(x[outside])
    return predicted


def grouped_folds(labels: NDArray[np.int64], covers: NDArray[np.int64], *, seed: int) -> NDArray[np.int64]:
    """Return a fold from 0 to FOLDS - 1 for each file, the same for all files of a cover; shape (files,).

    Covers are dealt in random order, those of the rarest class first, so that the folds have similar shares of each
    class. Raise ValueError for fewer covers than FOLDS.
    """
    names, cover = np.unique(covers, return_inverse=True)
    if len(names) < FOLDS:
        raise ValueError(f"expected at least {FOLDS} covers, got {len(names)}")
    _, own = np.unique(labels, return_inverse=True)
    occurs = np.zeros((len(names), int(own.max()) + 1), dtype=np.bool_)
    occurs[cover, own] = True
    rarity = np.where(occurs, occurs.sum(axis=0), len(names) + 1)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    dealt = shuffled[np.lexsort((rarity.argmin(axis=1)[shuffled], rarity.min(axis=1)[shuffled]))]
    fold_of_cover = np.empty(len(names), np.int64)
    fold_of_cover[dealt] = np.arange(len(names)) % FOLDS
    return fold_of_cover[cover]

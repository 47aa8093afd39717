"""Linear probe: predict classes from vectors with a linear classifier, out of sample."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

FOLDS: Final = 5
SHRINKAGE: Final = 1e-4
"""Share of the mean variance in the covariance, so that dimensions without variance do not make it singular."""
_ROUNDING: Final = 1e-9
"""Variances below it are rounding errors, where that of all vectors is 1."""


@dataclass(frozen=True, slots=True, eq=False)
class LinearDiscriminant:
    """A linear classifier: `weights` of shape (classes, dimensions), `bias` (classes,), `labels` (classes,)."""

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    labels: NDArray[np.int64]

    def predict(self, vectors: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the label with the largest score of each vector, shape (vectors,)."""
        predicted: NDArray[np.int64] = self.labels[(vectors @ self.weights.T + self.bias).argmax(axis=1)]
        return predicted


@dataclass(frozen=True, slots=True, eq=False)
class _Moments:
    """Vectors and their sum by class, shapes (classes,) and (classes, dimensions), and the sum of their products."""

    sizes: NDArray[np.float64]
    sums: NDArray[np.float64]
    products: NDArray[np.float64]

    @classmethod
    def of(cls, vectors: NDArray[np.float64], members: NDArray[np.float64]) -> _Moments:
        return cls(members.sum(axis=0), members.T @ vectors, vectors.T @ vectors)

    def plus(self, part: _Moments) -> _Moments:
        return _Moments(self.sizes + part.sizes, self.sums + part.sums, self.products + part.products)

    def without(self, part: _Moments) -> _Moments:
        return _Moments(self.sizes - part.sizes, self.sums - part.sums, self.products - part.products)


def linear_discriminant(vectors: NDArray[np.float64], labels: NDArray[np.int64]) -> LinearDiscriminant:
    """Fit a linear discriminant analysis on standardised vectors, shape (vectors, dimensions).

    One covariance of all classes, with SHRINKAGE of its mean variance; priors are the shares of the classes. It has a
    closed form, unlike logistic regression. Source: Fisher, Annals of Eugenics 7 (1936); Friedman, Journal of the
    American Statistical Association 84 (1989) for the shrinkage.
    """
    present, own = np.unique(labels, return_inverse=True)
    mean, scale = _standardisation(vectors)
    fitted = _fitted(_Moments.of((vectors - mean) / scale, np.eye(len(present))[own]), present)
    weights = fitted.weights / scale
    return LinearDiscriminant(weights, fitted.bias - weights @ mean, present)


def out_of_sample_labels(vectors: ArrayLike, labels: ArrayLike, covers: ArrayLike, *, seed: int) -> NDArray[np.int64]:
    """Return the label of each vector that a linear discriminant predicts which was fitted without its cover.

    `vectors` has shape (vectors, dimensions), `labels` and `covers` are integers, shape (vectors,). Raise ValueError
    for different lengths, values that are not finite, or fewer covers than FOLDS. Source: linear classifier probes,
    Alain and Bengio, arXiv:1610.01644 (2016).
    """
    # A copy that is standardised in place: several copies of 50,000 vectors would be most of a worker's memory.
    x, classes, groups = np.array(vectors, np.float64), np.asarray(labels, np.int64), np.asarray(covers, np.int64)
    if x.ndim != 2 or classes.shape != (len(x),) or groups.shape != (len(x),):
        raise ValueError(f"expected one label and cover per vector, got {x.shape}, {classes.shape}, {groups.shape}")
    if not np.isfinite(x).all():
        raise ValueError("expected finite values")
    folds = grouped_folds(classes, groups, seed=seed)
    present, own = np.unique(classes, return_inverse=True)
    mean, scale = _standardisation(x)
    x -= mean
    x /= scale
    members = np.eye(len(present))[own]
    # The moments of the training data are those of all vectors without the fold: no vector is multiplied twice.
    parts = [_Moments.of(x[folds == fold], members[folds == fold]) for fold in range(FOLDS)]
    every = reduce(_Moments.plus, parts)
    predicted = np.empty(len(x), np.int64)
    for fold, part in enumerate(parts):
        predicted[folds == fold] = _fitted(every.without(part), present).predict(x[folds == fold])
    return predicted


def _standardisation(vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of each dimension, 1 where it is constant."""
    deviation = vectors.std(axis=0)
    return vectors.mean(axis=0), np.where(deviation > 0, deviation, 1.0)


def _fitted(moments: _Moments, labels: NDArray[np.int64]) -> LinearDiscriminant:
    """Fit the classes that have a vector; the dimensions are standardised again for these vectors."""
    present = moments.sizes > 0
    sizes, sums = moments.sizes[present], moments.sums[present]
    count, mean = float(sizes.sum()), sums.sum(axis=0) / float(sizes.sum())
    variance = np.diagonal(moments.products) / count - mean**2
    # The variance of all vectors is 1: below this it is a rounding error.
    scale = np.where(variance > _ROUNDING, np.sqrt(np.maximum(variance, _ROUNDING)), 1.0)
    means = sums / sizes[:, np.newaxis]
    within = moments.products - (means * sizes[:, np.newaxis]).T @ means
    covariance = within / count / np.outer(scale, scale)
    shrunk = (1 - SHRINKAGE) * covariance
    shrunk[np.diag_indices_from(shrunk)] += SHRINKAGE * max(float(np.trace(covariance)) / len(covariance), _ROUNDING)
    centred = (means - mean) / scale
    weights = np.linalg.solve(shrunk, centred.T).T
    bias = -0.5 * np.einsum("ij,ij->i", centred, weights) + np.log(sizes / count)
    weights = weights / scale
    return LinearDiscriminant(weights, bias - weights @ mean, labels[present])


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

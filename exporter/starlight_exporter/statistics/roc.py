"""Step ROC curves of scores, of the observed files and of resamples of their covers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_BLOCK_VALUES = 500_000
"""Values per array of a block of resamples: a few megabytes, whatever the number of files."""


@dataclass(frozen=True, slots=True)
class RocCurves:
    """False alarms and detections at each vertex, shape (curves, vertices) each; a curve starts at (0, 0).

    A file is positive if its score is at least the threshold of the vertex. Every curve has clean and stego files.
    """

    false_alarms: NDArray[np.int64]
    detections: NDArray[np.int64]

    @property
    def clean(self) -> NDArray[np.int64]:
        """Clean files of each curve, shape (curves,)."""
        return self.false_alarms[:, -1]

    @property
    def stego(self) -> NDArray[np.int64]:
        """Stego files of each curve, shape (curves,)."""
        return self.detections[:, -1]


@dataclass(frozen=True, slots=True)
class RankedFiles:
    """Files in descending order of score, of clean and stego files separately, with their covers as 0..covers − 1.

    `clean_ends` and `stego_ends`, shape (vertices,), are the numbers of files that are positive at each vertex of the
    ROC curve. Thresholds between files of one class have no vertex: the curve is straight there.
    """

    clean_covers: NDArray[np.int64]
    stego_covers: NDArray[np.int64]
    clean_ends: NDArray[np.int64]
    stego_ends: NDArray[np.int64]
    covers: int

    @property
    def constant(self) -> bool:
        """Whether all files have the same score, so that the curve has no vertex between its ends."""
        # With two scores, the first segment ends before the last file.
        return len(self.clean_ends) == 2


def rank(scores: ArrayLike, is_stego: ArrayLike, covers: ArrayLike) -> RankedFiles:
    """Sort files by score; each argument has one entry per file, `covers` are numbers from 0 (`cover_numbers`).

    Raise ValueError for different lengths or a score that is not a number.
    """
    x = np.asarray(scores, dtype=np.float64)
    y, cover = np.asarray(is_stego, dtype=np.bool_), np.asarray(covers, dtype=np.int64)
    if x.ndim != 1 or x.shape != y.shape or x.shape != cover.shape:
        raise ValueError(f"expected three arrays of the same length, got {x.shape}, {y.shape} and {cover.shape}")
    if bool(np.any(np.isnan(x))):
        raise ValueError("a score is not a number")
    order = np.argsort(-x, kind="stable")
    x, y, cover = x[order], y[order], cover[order]
    ends = _segment_ends(x, y)
    stego_ends = np.concatenate(([0], np.cumsum(y)))[ends]
    return RankedFiles(cover[~y], cover[y], ends - stego_ends, stego_ends, int(cover.max(initial=-1)) + 1)


def cover_numbers(keys: ArrayLike) -> NDArray[np.int64]:
    """Return the number of each key in order of first occurrence, shape (files,)."""
    _, first, place = np.unique(np.asarray(keys), return_index=True, return_inverse=True)
    numbers = np.empty(len(first), dtype=np.int64)
    numbers[np.argsort(first)] = np.arange(len(first))
    return numbers[place]


def _segment_ends(descending: NDArray[np.float64], is_stego: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the number of files up to each vertex: between scores, where the class changes or scores are tied."""
    files = len(descending)
    boundary = np.concatenate(([True], descending[1:] != descending[:-1])) if files else np.zeros(0, dtype=np.bool_)
    starts = np.flatnonzero(boundary)
    sizes = np.diff(np.append(starts, files))
    stego = np.add.reduceat(is_stego.astype(np.int64), starts) if files else np.zeros(0, dtype=np.int64)
    # -1: files of both classes, which are a segment of their own.
    kinds = np.where(stego == 0, 0, np.where(stego == sizes, 1, -1))
    new = np.ones(len(starts), dtype=np.bool_)
    new[1:] = (kinds[1:] != kinds[:-1]) | (kinds[1:] == -1)
    return np.concatenate(([0], starts[new][1:], [files]))


def observed_curve(files: RankedFiles) -> RocCurves:
    """Return the ROC curve of all files, as the only row."""
    return RocCurves(files.clean_ends[np.newaxis], files.stego_ends[np.newaxis])


def resampled_curves(files: Sequence[RankedFiles], resamples: int, seed: int) -> Iterator[tuple[RocCurves, ...]]:
    """Yield blocks of bootstrap curves, one RocCurves for each of `files`, which share their covers.

    A resample takes as many covers as there are, with replacement, each with all its files. Resamples without a clean
    or without a stego file are omitted. Source: cluster bootstrap (Davison and Hinkley, Bootstrap Methods and Their
    Application, 1997, section 3.8).
    """
    covers = files[0].covers
    largest = max(len(one.clean_covers) + len(one.stego_covers) for one in files)
    rows = max(1, min(resamples, _BLOCK_VALUES // max(covers, largest)))
    random = np.random.default_rng(seed)
    for start in range(0, resamples, rows):
        weights = _cover_weights(random, min(rows, resamples - start), covers)
        counts = [
            (
                _cumulative(weights, one.clean_covers, one.clean_ends),
                _cumulative(weights, one.stego_covers, one.stego_ends),
            )
            for one in files
        ]
        complete = np.all([(clean[:, -1] > 0) & (stego[:, -1] > 0) for clean, stego in counts], axis=0)
        yield tuple(RocCurves(clean[complete], stego[complete]) for clean, stego in counts)


def swapped_curves(files: RankedFiles, kept: NDArray[np.bool_]) -> tuple[RocCurves, RocCurves]:
    """Return the curves of two models after the files of some covers were exchanged between them.

    `files` are the files of both models together, of the second with the cover numbers from `covers` / 2. `kept`, shape
    (curves, covers / 2), is False for the covers whose files are exchanged.
    """
    weights = np.concatenate((kept, ~kept), axis=1).astype(np.int32)
    clean = _cumulative(weights, files.clean_covers, files.clean_ends)
    stego = _cumulative(weights, files.stego_covers, files.stego_ends)
    # A file that does not count for one model counts for the other.
    return RocCurves(clean, stego), RocCurves(files.clean_ends - clean, files.stego_ends - stego)


def rows_per_block(files: RankedFiles) -> int:
    """Return the number of curves that are computed at once, at least 1."""
    return max(1, _BLOCK_VALUES // max(files.covers, len(files.clean_covers) + len(files.stego_covers)))


def _cover_weights(random: np.random.Generator, rows: int, covers: int) -> NDArray[np.int32]:
    """Return how often each cover was drawn, shape (rows, covers)."""
    chosen = random.integers(0, covers, (rows, covers))
    chosen += np.arange(rows)[:, np.newaxis] * covers
    return np.bincount(chosen.ravel(), minlength=rows * covers).reshape(rows, covers).astype(np.int32)


def _cumulative(weights: NDArray[np.int32], covers: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    # Converted first: a cumulative sum that converts takes 20 times as long.
    sums = np.cumsum(weights.take(covers, axis=1).astype(np.int64), axis=1)
    return np.concatenate((np.zeros((len(weights), 1), dtype=np.int64), sums), axis=1).take(ends, axis=1)

"""Permutation tests of differences between the figures of merit of two models on the same files."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.statistics.figures_of_merit import Figure, figure_values
from starlight_exporter.statistics.roc import rank, rows_per_block, swapped_curves
from starlight_exporter.statistics.scores import Scores

EXTREME: Final = 25
"""Swaps with a difference as large as the observed one after which a p-value is known well enough: within 20%."""
_ROUNDING: Final = 1e-12


@dataclass(frozen=True, slots=True)
class SwapTest:
    """Two-sided p-value from `swaps` random swaps; it is at least 1 / (swaps + 1)."""

    p_value: float
    swaps: int


def required_swaps(tests: int, level: float) -> int:
    """Return the swaps with which the smallest p-value, adjusted for this number of tests (Holm), is half the level."""
    return math.ceil(2 * tests / level)


def swap_tests(
    first: Scores, second: Scores, covers: NDArray[np.int64], figures: Iterable[Figure], *, seed: int, swaps: int
) -> dict[Figure, SwapTest]:
    """Test for each figure whether two models are interchangeable, with the difference of the figure as statistic.

    The files are the same in the same order, of both classes; `covers` are numbers from 0, all of them used, shape
    (files,). A swap exchanges the two models for all files of each cover with probability ½. Scores are replaced by
    ranks within each model, so that their scales do not matter; figures depend on the order of scores only. Equal
    scores of a model are ranked in random order, the same for both models: otherwise, swapped models would have fewer
    ties than the observed ones, and differences too small. Source: Venkatraman and Begg, Biometrika 83 (1996).

    A test ends after EXTREME swaps with a difference at least as large as the observed one, otherwise after `swaps`.
    Source: Besag and Clifford, Biometrika 78 (1991). Raise ValueError if the classes of the files differ.
    """
    if not np.array_equal(first.is_stego, second.is_stego):
        raise ValueError("expected the same files for both models")
    count = int(covers.max()) + 1
    random = np.random.default_rng(seed)
    order = random.permutation(covers.size)
    files = rank(
        np.concatenate((_ranks(first.probabilities, order), _ranks(second.probabilities, order))),
        np.concatenate((first.is_stego, second.is_stego)),
        np.concatenate((covers, covers + count)),
    )
    one, other = swapped_curves(files, np.ones((1, count), dtype=np.bool_))
    pending = {
        figure: _Pending(abs(float((figure_values(one, figure) - figure_values(other, figure))[0])))
        for figure in figures
    }
    found: dict[Figure, SwapTest] = {}
    done = 0
    while done < swaps and len(found) < len(pending):
        rows = min(rows_per_block(files), swaps - done)
        one, other = swapped_curves(files, random.integers(0, 2, (rows, count), dtype=np.bool_))
        for figure, test in pending.items():
            if figure not in found:
                differences = np.abs(figure_values(one, figure) - figure_values(other, figure))
                last = test.add(differences)
                if last is not None:
                    needed = done + last + 1
                    found[figure] = SwapTest(EXTREME / needed, needed)
        done += rows
    return {
        figure: found.get(figure, SwapTest((test.extreme + 1) / (swaps + 1), swaps)) for figure, test in pending.items()
    }


@dataclass(slots=True)
class _Pending:
    """A test that needs more swaps: the absolute observed difference, and swaps with one as large."""

    observed: float
    extreme: int = 0

    def add(self, differences: NDArray[np.float64]) -> int | None:
        """Count the swaps of a block, shape (swaps,). Return the index of the swap that ends the test, or None."""
        places = np.flatnonzero(differences >= self.observed - _ROUNDING)
        missing = EXTREME - self.extreme
        self.extreme += len(places)
        return int(places[missing - 1]) if len(places) >= missing else None


def _ranks(values: NDArray[np.float64], order: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the rank of each value, from 0; equal values are ranked by `order`."""
    ranks = np.empty(values.size)
    ranks[np.lexsort((order, values))] = np.arange(values.size)
    return ranks

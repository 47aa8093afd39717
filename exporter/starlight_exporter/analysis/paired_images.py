"""Images that two models both measured, in pairs, and the differences of figures of merit on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.analysis.comparison import FALSE_DISCOVERY_RATE, in_slice
from starlight_exporter.evaluation.figures import class_scores
from starlight_exporter.evaluation.prediction_arrays import MISSING
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.results import Prediction
from starlight_exporter.statistics.figure_intervals import FigureDifference, figure_differences
from starlight_exporter.statistics.figures_of_merit import TESTED_FIGURES, Figure
from starlight_exporter.statistics.roc import cover_numbers
from starlight_exporter.statistics.swap_tests import required_swaps

FIGURE_SWAPS: Final = required_swaps(len(TESTED_FIGURES), FALSE_DISCOVERY_RATE)
"""Swaps of a test of two models, for all tested figures."""


@dataclass(frozen=True, slots=True, eq=False)
class PairedImages:
    """Two tables, and the numbers of the images with both verdicts.

    They are sorted by path, so that resamples and swaps do not depend on the order of the predictions.
    """

    first: PredictionTable
    second: PredictionTable
    numbers: NDArray[np.int64]
    others: NDArray[np.int64]

    @classmethod
    def of(cls, first: Sequence[Prediction], second: Sequence[Prediction]) -> PairedImages:
        """Pair the predictions of two models by path and content."""
        one, other = PredictionTable.of(first), PredictionTable.of(second)
        numbers, others = one.same_files(other)
        both = (one.wrong[numbers] != MISSING) & (other.wrong[others] != MISSING)
        return cls(one, other, numbers[both], others[both])

    @property
    def covers(self) -> NDArray[np.int64]:
        """The numbers of the covers according to the first table, of shape (images,)."""
        return cover_numbers(self.first.column("cover")[self.numbers])

    def subset(self, chosen: NDArray[np.bool_]) -> PairedImages:
        """Return the pairs of a mask of the images of the first table."""
        of_pairs = chosen[self.numbers]
        return replace(self, numbers=self.numbers[of_pairs], others=self.others[of_pairs])

    def clean_and_stego(self) -> PairedImages:
        """Return the pairs of the images of figures of merit."""
        return self.subset(~in_slice(self.first, "negative"))

    def figure_differences(self, *, seed: int, swaps: int) -> dict[Figure, FigureDifference]:
        """Return each tested figure of the first model minus that of the second."""
        one, other = class_scores(self.first, self.numbers), class_scores(self.second, self.others)
        return figure_differences(one, other, self.covers, seed=seed, swaps=swaps)


def figure_changes(
    before: Sequence[Prediction], after: Sequence[Prediction], *, seed: int
) -> dict[Figure, FigureDifference]:
    """Return the change of every tested figure of merit from `before` to `after`; the covers are those of `after`."""
    images = PairedImages.of(after, before).clean_and_stego()
    return images.figure_differences(seed=seed, swaps=FIGURE_SWAPS)

"""Paired differences of figures of merit between two models on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlight_exporter.analysis.comparison import FALSE_DISCOVERY_RATE
from starlight_exporter.evaluation.figures import class_scores, scored
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.results import Prediction
from starlight_exporter.statistics.figure_intervals import FigureDifference, figure_differences
from starlight_exporter.statistics.figures_of_merit import TESTED_FIGURES, Figure
from starlight_exporter.statistics.roc import cover_numbers
from starlight_exporter.statistics.swap_tests import required_swaps

_SWAPS: Final = required_swaps(len(TESTED_FIGURES), FALSE_DISCOVERY_RATE)


def figure_changes(
    before: Sequence[Prediction], after: Sequence[Prediction], *, seed: int
) -> dict[Figure, FigureDifference]:
    """Return the change of every tested figure of merit from `before` to `after`, on the images that both measured.

    Images are paired by path and content; the covers are those of `after`.
    """
    earlier, later = PredictionTable.of(before), PredictionTable.of(after)
    # Sorted by path, so that the resamples do not depend on the order of the predictions.
    now, then = later.same_files(earlier)
    both = scored(later)[now] & scored(earlier)[then]
    return figure_differences(
        class_scores(later, now[both]),
        class_scores(earlier, then[both]),
        cover_numbers(later.column("cover")[now[both]]),
        seed=seed,
        swaps=_SWAPS,
    )

"""Paired differences of figures of merit between two models on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlight_exporter.analysis.comparison import FALSE_DISCOVERY_RATE
from starlight_exporter.evaluation.figures import class_scores, scored
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
    earlier = {(entry.path, entry.sha256): entry for entry in scored(before)}
    # Sorted, so that the resamples do not depend on the order of the predictions.
    later = sorted(
        (entry for entry in scored(after) if (entry.path, entry.sha256) in earlier), key=lambda entry: entry.path
    )
    return figure_differences(
        class_scores(later),
        class_scores(earlier[entry.path, entry.sha256] for entry in later),
        cover_numbers(entry.cover_key for entry in later),
        seed=seed,
        swaps=_SWAPS,
    )

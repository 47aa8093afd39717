"""Figures of merit of a set of predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.results import Prediction
from starlight_exporter.statistics.figure_intervals import FiguresOfMerit, figures_of_merit
from starlight_exporter.statistics.roc import cover_numbers
from starlight_exporter.statistics.scores import Scores


def figures(predictions: Sequence[Prediction], *, seed: int) -> FiguresOfMerit:
    """Return the figures of merit of the measured clean and stego images; negatives are not part of them."""
    table = PredictionTable.of(predictions)
    measured = np.flatnonzero(scored(table))
    return figures_of_merit(class_scores(table, measured), cover_numbers(table.column("cover")[measured]), seed=seed)


def scored(table: PredictionTable) -> NDArray[np.bool_]:
    """Return which images have a probability and are no negatives, of shape (images,)."""
    has_probability: NDArray[np.bool_] = ~np.isnan(table.column("probability"))
    return has_probability & ~table.equals("file_class", "negative")


def class_scores(table: PredictionTable, numbers: NDArray[np.int64]) -> Scores:
    """Return probabilities and classes of measured images by their numbers."""
    return Scores.of(table.column("probability")[numbers], table.equals("file_class", "stego")[numbers])

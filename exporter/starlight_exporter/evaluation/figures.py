"""Figures of merit of a set of predictions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from starlight_exporter.evaluation.results import Prediction
from starlight_exporter.statistics.figure_intervals import FiguresOfMerit, figures_of_merit
from starlight_exporter.statistics.roc import cover_numbers
from starlight_exporter.statistics.scores import Scores


def figures(predictions: Sequence[Prediction], *, seed: int) -> FiguresOfMerit:
    """Return the figures of merit of the measured clean and stego images; negatives are not part of them."""
    measured = scored(predictions)
    return figures_of_merit(class_scores(measured), cover_numbers(entry.cover_key for entry in measured), seed=seed)


def scored(predictions: Iterable[Prediction]) -> tuple[Prediction, ...]:
    """Return the predictions of clean and stego images with a probability, in the given order."""
    return tuple(entry for entry in predictions if entry.probability is not None and entry.file_class != "negative")


def class_scores(measured: Iterable[Prediction]) -> Scores:
    """Return probabilities and classes of measured predictions."""
    known = [(entry.probability, entry.file_class == "stego") for entry in measured if entry.probability is not None]
    return Scores.of([p for p, _ in known], [stego for _, stego in known])

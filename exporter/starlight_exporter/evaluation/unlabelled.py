"""Result of a model on an unlabelled dataset: alarm rate, predicted methods, scores and drift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from starlight_exporter.detector.contract import METHODS, Method
from starlight_exporter.evaluation.drift import Drift
from starlight_exporter.evaluation.prediction_arrays import MISSING
from starlight_exporter.statistics.intervals import Proportion, proportion

if TYPE_CHECKING:
    from starlight_exporter.evaluation.prediction_table import PredictionTable

SCORE_BINS: Final = 20


@dataclass(frozen=True, slots=True)
class UnlabelledResult:
    """Measured values of unlabelled images, none of which is right or wrong.

    `images` are the files in the window, measured or not, `images_outside_window` the others. `alarms` are the positive
    verdicts among the measured images; its total is 0 if none was measured. `methods` has the share of every predicted
    method among the alarms; it is empty for a model that predicts no method. `histogram` counts the measured images by
    score, in SCORE_BINS bins of equal width from 0 to 1.
    """

    images: int
    images_outside_window: int
    alarms: Proportion
    methods: dict[Method, Proportion]
    histogram: tuple[int, ...]
    drift: Drift

    @property
    def unavailable(self) -> str | None:
        """Why there is no alarm rate; None if there is one."""
        if self.alarms.total:
            return None
        return "no images" if self.images == 0 else "no image could be measured"


def unlabelled_result(predictions: PredictionTable, *, images_outside_window: int, drift: Drift) -> UnlabelledResult:
    """Return the result of the predictions of one window."""
    measured, alarms = (int(np.count_nonzero(one)) for one in (predictions.measured, predictions.positive))
    methods = predictions.column("predicted_method")
    predicted = np.bincount(methods[predictions.positive] + 1, minlength=len(METHODS) + 1)[1:].tolist()
    predicts_method = bool((methods[predictions.measured] != MISSING).any())
    scores = predictions.column("probability")[predictions.measured]
    counts, _ = np.histogram(scores[~np.isnan(scores)], bins=SCORE_BINS, range=(0.0, 1.0))
    return UnlabelledResult(
        images=len(predictions),
        images_outside_window=images_outside_window,
        alarms=proportion(alarms, measured),
        methods={method: proportion(count, alarms) for method, count in zip(METHODS, predicted, strict=True)}
        if predicts_method
        else {},
        histogram=tuple(int(count) for count in counts),
        drift=drift,
    )

"""Result of a model on an unlabelled dataset: alarm rate, predicted methods, scores and drift."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from starlight_exporter.detector.contract import METHODS, Method
from starlight_exporter.evaluation.drift import Drift
from starlight_exporter.statistics.intervals import Proportion, proportion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlight_exporter.evaluation.results import Prediction

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


def unlabelled_result(
    predictions: Sequence[Prediction], *, images_outside_window: int, drift: Drift
) -> UnlabelledResult:
    """Return the result of the predictions of one window."""
    measured = [one for one in predictions if one.verdict is not None]
    alarms = [one for one in measured if one.verdict]
    predicted = Counter(one.predicted_method for one in alarms)
    predicts_method = any(one.predicted_method is not None for one in measured)
    scores = [one.probability for one in measured if one.probability is not None]
    counts, _ = np.histogram(scores, bins=SCORE_BINS, range=(0.0, 1.0))
    return UnlabelledResult(
        images=len(predictions),
        images_outside_window=images_outside_window,
        alarms=proportion(len(alarms), len(measured)),
        methods={method: proportion(predicted[method], len(alarms)) for method in METHODS} if predicts_method else {},
        histogram=tuple(int(count) for count in counts),
        drift=drift,
    )

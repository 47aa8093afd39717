"""Run the full model on batches of images, where an execution provider is faster with them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice
from time import perf_counter
from typing import Final

from starlight_exporter.detector.agreement import difference, score_of, with_close_images_rescored
from starlight_exporter.detector.compact import CompactImage
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.detector.model import Detector, Score
from starlight_exporter.detector.shared_outputs import Outputs
from starlight_exporter.detector.staged import FullModel, Scorer
from starlight_exporter.errors import ImageError

BATCHES: Final = (2, 4, 8, 16)
"""Sizes that are tried. Larger ones would take too much memory: an image has 2.4 MB of inputs, for every thread."""
_MIN_GAIN: Final = 1.1
"""A larger batch is used only if it is this much faster per image, so that noise does not decide."""
_ROUNDS: Final = 3


class BatchedModel:
    """Runs the full model on batches, and one by one on images that are close to a decision.

    Smaller batches are filled up, so that a result does not depend on how images are grouped.
    """

    def __init__(self, detector: Detector, decision: DecisionRule, *, batch: int) -> None:
        self._detector = detector
        self._full = FullModel(detector)
        self._decision = decision
        self.batch = batch
        self.streams = detector.streams

    def score(self, images: Sequence[CompactImage]) -> list[Score | ImageError]:
        """See Scorer."""
        scores = [score_of(self._detector, outputs) for outputs in self.outputs(images)]
        return with_close_images_rescored(scores, images, self._decision, self._full.score)

    def outputs(self, images: Sequence[CompactImage]) -> list[Outputs | ImageError]:
        """Return the model's `used_outputs` of each image without batch axis, or the error that prevented them."""
        return [
            outputs
            for start in range(0, len(images), self.batch)
            for outputs in self._batch_outputs(images[start : start + self.batch])
        ]

    def _batch_outputs(self, images: Sequence[CompactImage]) -> list[Outputs | ImageError]:
        tensors = [image.tensors(self.streams) for image in images]
        filled = tensors + tensors[:1] * (self.batch - len(images))
        try:
            rows = self._detector.rows(self._detector.raw_outputs(filled), self.batch)
        except ImageError as error:
            # One of the images can make the model fail. All are scored again, one by one.
            return [error] * len(images)
        return list(rows[: len(images)])


def full_model(detector: Detector, decision: DecisionRule, batch: int) -> Scorer:
    """Return the full model with this batch size."""
    return FullModel(detector) if batch == 1 else BatchedModel(detector, decision, batch=batch)


def fastest_batch(detector: Detector, decision: DecisionRule, samples: Sequence[CompactImage]) -> int:
    """Measure the fastest batch size; 1 if batches do not gain or if their results differ on the samples.

    Every size is run once before it is timed, because a provider compiles the model for a new size.
    """
    if not detector.takes_batches or detector.method_is_id:
        return 1
    best, best_seconds = 1, _seconds(FullModel(detector), samples)
    for batch in BATCHES:
        model = BatchedModel(detector, decision, batch=batch)
        if difference(detector, samples, model.outputs(samples)):
            # Larger batches use the same kernels.
            break
        seconds = _seconds(model, samples)
        if seconds * _MIN_GAIN < best_seconds:
            best, best_seconds = batch, seconds
    return best


def _seconds(model: Scorer, samples: Sequence[CompactImage]) -> float:
    """Return the shortest time of a few rounds over as many images as the largest batch has."""
    images = list(islice(cycle(samples), BATCHES[-1]))
    model.score(images)
    times = []
    for _ in range(_ROUNDS):
        start = perf_counter()
        model.score(images)
        times.append(perf_counter() - start)
    return min(times)

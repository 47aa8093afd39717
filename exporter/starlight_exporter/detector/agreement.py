"""Agreement of faster ways to run a model with the full model on one image per call, which is the reference.

Other ways round differently. Verdicts and predicted methods are nevertheless identical by construction:

- `difference` compares outputs on sample images and refuses log-odds that differ by more than LOG_ODDS_TOLERANCE ·
  max(1, |log-odds|). A difference within this tolerance changes a probability by at most 2e-6, because the slope of the
  sigmoid at x is at most 1/4 and at most 1/(4·|x|). It changes the predicted method only if the probabilities of two
  methods differ by at most 8e-6.
- Both are smaller than RESCORING_DISTANCE. `with_close_images_rescored` scores images again with the full model if
  their probability is within this distance of their threshold, or if their two most probable methods are within it of
  each other. So are images on which the faster way fails.

This assumes that the rounding error of all other images is smaller than RESCORING_DISTANCE, too: 5 times the tolerance
for probabilities of stego. The reference models reach an eighth of the tolerance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.detector.compact import CompactImage
from starlight_exporter.detector.contract import EMBEDDING_OUTPUT
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.detector.model import Detector, Score
from starlight_exporter.detector.shared_outputs import Outputs
from starlight_exporter.detector.streams import workspace
from starlight_exporter.errors import ImageError

RESCORING_DISTANCE: Final = 1e-5
"""Images with a probability within this distance of a threshold, or of another method, are scored by the full model."""
LOG_ODDS_TOLERANCE: Final = 8e-6
"""Largest difference between the log-odds of both ways on the samples: relative above 1, else absolute."""
EMBEDDING_TOLERANCE: Final = 1e-4
"""Largest difference between the embeddings of both ways on the samples, absolute plus relative."""


def score_of(detector: Detector, outputs: Outputs | ImageError) -> Score | ImageError:
    """Convert the `used_outputs` of one image to a score, or to the error that prevented it."""
    if isinstance(outputs, ImageError):
        return outputs
    try:
        return detector.score(outputs)
    except ImageError as error:
        return error


def with_close_images_rescored(
    scores: Sequence[Score | ImageError],
    images: Sequence[CompactImage],
    decision: DecisionRule,
    full_scores: Callable[[Sequence[CompactImage]], list[Score | ImageError]],
) -> list[Score | ImageError]:
    """Return the scores, those of the full model for images that are close to a decision or have no score."""
    rescored = list(scores)
    close = [index for index, score in enumerate(scores) if _is_close(score, decision)]
    for index, score in zip(close, full_scores([images[index] for index in close]), strict=True):
        rescored[index] = score
    return rescored


def difference(detector: Detector, samples: Sequence[CompactImage], outputs: Sequence[Outputs | ImageError]) -> str:
    """Describe the first difference between `outputs` and those of the full model; empty if there is none.

    Log-odds must agree within LOG_ODDS_TOLERANCE, and both must fail on the same images.
    """
    arrays = workspace(detector.streams)
    for number, (image, ours_of_image) in enumerate(zip(samples, outputs, strict=True)):
        score = score_of(detector, ours_of_image)
        try:
            (full,) = detector.rows(detector.raw_outputs((image.tensors(detector.streams, out=arrays),)), 1)
            detector.score(full)
        except ImageError:
            if isinstance(score, ImageError):
                continue
            return f"it succeeds on sample {number}, on which the full model fails"
        if isinstance(score, ImageError) or isinstance(ours_of_image, ImageError):
            return f"it fails on sample {number}: {score}"
        for name, ours, theirs in zip(detector.used_outputs, ours_of_image, full, strict=True):
            if name == EMBEDDING_OUTPUT:
                if not np.allclose(ours, theirs, EMBEDDING_TOLERANCE, EMBEDDING_TOLERANCE, equal_nan=True):
                    return f"output {name} differs on sample {number}"
                continue
            expected = _log_odds(theirs)
            if (np.abs(_log_odds(ours) - expected) > LOG_ODDS_TOLERANCE * np.maximum(1.0, np.abs(expected))).any():
                return f"output {name} differs on sample {number}"
    return ""


def _is_close(score: Score | ImageError, decision: DecisionRule) -> bool:
    """Whether the verdict or the predicted method of the full model may differ."""
    if isinstance(score, ImageError) or score.method_margin <= RESCORING_DISTANCE:
        return True
    return decision.distance(score.probability, score.predicted) <= RESCORING_DISTANCE


def _log_odds(output: NDArray[Any]) -> NDArray[np.float64]:
    """Return the stego logit, or the values of the methods relative to the largest, which determine the method."""
    values = output.reshape(-1).astype(np.float64)
    return values if values.size == 1 else values - values.max()

"""Metrics of training logs: the last epoch, health of the curves, and the curves themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.models.training_log import TrainingEpoch
from starlight_exporter.publish.families.family import FamilyGroup, MetricSample, optional
from starlight_exporter.publish.snapshot import Snapshot, newest_by

GROUP = FamilyGroup("Training")

CURVE_EPOCHS: Final = 40
"""Maximum number of epochs per curve: an epoch is a label value, and label values have to be bounded."""

_NO_LOG = "the model has no training log, or was not evaluated yet"
_NO_VALUE = f"{_NO_LOG}, or the log does not contain the value"
_SHORT_LOG = f"{_NO_LOG}, or the log is too short"
_THINNED = f"at most {CURVE_EPOCHS} evenly spaced epochs, including the last"

TRAINING_EPOCHS = GROUP.of_evaluation(
    "training_epochs",
    "model",
    "Epochs in the training log of the model, or of a model with a card and the same bytes.",
    unit="epochs",
    absent=_NO_LOG,
)
TRAINING_LOSS = GROUP.of_evaluation(
    "training_loss",
    "model split",
    "Loss in the last epoch of the training log.",
    absent=_NO_VALUE,
)
TRAINING_ACCURACY = GROUP.of_evaluation(
    "training_accuracy",
    "model split",
    "Accuracy in the last epoch of the training log.",
    unit="ratio",
    absent=_NO_VALUE,
)
TRAINING_EPOCH_LOSS = GROUP.of_evaluation(
    "training_epoch_loss",
    "model split epoch",
    f"Loss by epoch of the training log: {_THINNED}.",
    absent=_NO_VALUE,
)
TRAINING_EPOCH_ACCURACY = GROUP.of_evaluation(
    "training_epoch_accuracy",
    "model split epoch",
    f"Accuracy by epoch of the training log: {_THINNED}.",
    unit="ratio",
    absent=_NO_VALUE,
)
TRAINING_DIVERGED = GROUP.of_evaluation(
    "training_diverged",
    "model",
    "Whether training diverged (1): the final validation loss is above its first value and twice its minimum, or a loss"
    " is not finite.",
    absent=_NO_LOG,
)
TRAINING_CONVERGENCE_RATE = GROUP.of_evaluation(
    "training_convergence_rate",
    "model",
    "Mean relative decrease of the training loss per epoch (least squares of the log loss over epochs).",
    absent=_SHORT_LOG,
)
TRAINING_STABILITY = GROUP.of_evaluation(
    "training_stability_ratio",
    "model",
    "Stability of the validation loss: 1 if it decreases monotonically, near 0 if it oscillates.",
    unit="ratio",
    absent=_SHORT_LOG,
)
TRAINING_GENERALIZATION_GAP = GROUP.of_evaluation(
    "training_generalization_gap",
    "model",
    "Validation loss minus training loss in the last epoch.",
    unit="nats",
    absent=_SHORT_LOG,
)


def samples(snapshot: Snapshot) -> Iterator[MetricSample]:
    """Yield the samples of every evaluated model."""
    for evaluation in newest_by(snapshot.evaluations(), lambda evaluation: evaluation.model):
        yield from evaluation_samples(evaluation)


def evaluation_samples(evaluation: Evaluation) -> Iterator[MetricSample]:
    """Yield last epoch, health and curves of the training log of one evaluation's model."""
    training = evaluation.training
    model = (evaluation.model,)
    if training is None:
        return
    yield MetricSample(TRAINING_EPOCHS, model, len(training.epochs))
    if training.epochs:
        last = training.epochs[-1]
        yield from optional(TRAINING_LOSS, (*model, "train"), last.train_loss)
        yield from optional(TRAINING_LOSS, (*model, "validation"), last.validation_loss)
        yield from optional(TRAINING_ACCURACY, (*model, "train"), last.train_accuracy)
        yield from optional(TRAINING_ACCURACY, (*model, "validation"), last.validation_accuracy)
    yield MetricSample(TRAINING_DIVERGED, model, int(training.diverged))
    yield from optional(TRAINING_CONVERGENCE_RATE, model, training.convergence_rate)
    yield from optional(TRAINING_STABILITY, model, training.stability_ratio)
    yield from optional(TRAINING_GENERALIZATION_GAP, model, training.generalization_gap)
    yield from _curve_samples(evaluation.model, curve_epochs(training.epochs))


def curve_epochs(epochs: Sequence[TrainingEpoch], limit: int = CURVE_EPOCHS) -> Sequence[TrainingEpoch]:
    """Return at most `limit` epochs: all of a short log, otherwise evenly spaced ones with the first and the last."""
    if len(epochs) <= limit:
        return epochs
    return [epochs[place * (len(epochs) - 1) // (limit - 1)] for place in range(limit)]


def _curve_samples(model: str, epochs: Iterable[TrainingEpoch]) -> Iterator[MetricSample]:
    for one in epochs:
        epoch = str(one.epoch)
        yield from optional(TRAINING_EPOCH_LOSS, (model, "train", epoch), one.train_loss)
        yield from optional(TRAINING_EPOCH_LOSS, (model, "validation", epoch), one.validation_loss)
        yield from optional(TRAINING_EPOCH_ACCURACY, (model, "train", epoch), one.train_accuracy)
        yield from optional(TRAINING_EPOCH_ACCURACY, (model, "validation", epoch), one.validation_accuracy)

"""Training health from the training log of a model: one JSON object per line and epoch.

    {"epoch": 1, "train_loss": 0.61, "validation_loss": 0.58, "train_accuracy": 0.71, "validation_accuracy": 0.74}

`epoch` and both losses are required, the accuracies (ratios 0..1) are optional, other keys are ignored. A loss may be
NaN or Infinity, as Python's json module writes them after a diverged training.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from starlight_exporter.errors import StorageError
from starlight_exporter.file_access import read_content

MAX_LOG_BYTES: Final = 64 * 1024 * 1024
MAX_LINE: Final = 1024 * 1024
"""Characters of a line, of which nested arrays take thirty times as many bytes of memory."""
DIVERGED_RATIO: Final = 2.0
SMALLEST_LOSS: Final = 1e-12
MAX_EPOCHS: Final = 10_000
"""Every stored evaluation contains the loss curves."""
MAX_EPOCH_NUMBER: Final = 10**9


@dataclass(frozen=True, slots=True)
class TrainingEpoch:
    """One epoch of a training log; a missing or non-finite value is None."""

    epoch: int
    train_loss: float | None
    validation_loss: float | None
    train_accuracy: float | None
    validation_accuracy: float | None


@dataclass(frozen=True, slots=True)
class TrainingHealth:
    """Loss curves and metrics derived from them, which are None if there are too few epochs."""

    epochs: tuple[TrainingEpoch, ...]
    convergence_rate: float | None
    stability_ratio: float | None
    generalization_gap: float | None
    diverged: bool


def read_training_log(path: Path, *, root: Path | None = None) -> TrainingHealth:
    """Read a training log and derive its metrics. Raise StorageError, which names the file and the line.

    An invalid log does not invalidate the model: callers keep the evaluation and report the error. With a `root`, a
    link that leads out of it is not followed.
    """
    try:
        text = read_content(path, max_bytes=MAX_LOG_BYTES, root=root).data.decode("utf-8")
    except FileNotFoundError as error:
        raise StorageError(f"{path}: no such training log") from error
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror or error if isinstance(error, OSError) else "not UTF-8 text"
        raise StorageError(f"{path}: training log cannot be read: {reason}") from error
    epochs: list[TrainingEpoch] = []
    finite = True
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            if len(epochs) == MAX_EPOCHS:
                raise StorageError(f"{path}: training log has more than {MAX_EPOCHS} epochs")
            if len(line) > MAX_LINE:
                raise StorageError(f"{path}:{number}: longer than {MAX_LINE} characters")
            epoch, is_finite = _epoch(line, f"{path}:{number}")
            if epochs and epoch.epoch <= epochs[-1].epoch:
                raise StorageError(f"{path}:{number}: epoch {epoch.epoch} follows epoch {epochs[-1].epoch}")
            epochs.append(epoch)
            finite = finite and is_finite
    if not epochs:
        raise StorageError(f"{path}: training log has no epoch")
    return training_health(epochs, finite=finite)


def training_health(epochs: Sequence[TrainingEpoch], *, finite: bool = True) -> TrainingHealth:
    """Derive the metrics of the loss curves; `finite` is False if the log contains a loss that is not finite."""
    train = [epoch.train_loss for epoch in epochs if epoch.train_loss is not None]
    validation = [epoch.validation_loss for epoch in epochs if epoch.validation_loss is not None]
    return TrainingHealth(
        epochs=tuple(epochs),
        convergence_rate=convergence_rate(train),
        stability_ratio=stability_ratio(validation),
        generalization_gap=_generalization_gap(epochs),
        diverged=not finite or has_diverged(validation),
    )


def convergence_rate(train_losses: Sequence[float]) -> float | None:
    """Return the relative decrease of the training loss per epoch: 1 - exp(slope of ln loss over epochs).

    The least-squares slope is robust against one noisy epoch; the result is negative if the loss grows. It is 1 minus
    the linear rate of convergence (Nocedal and Wright, Numerical Optimization, 2006, section 2.2). None for fewer than
    two epochs.
    """
    if len(train_losses) < 2:
        return None
    logs = np.log(np.maximum(train_losses, SMALLEST_LOSS))
    steps = np.arange(len(logs)) - (len(logs) - 1) / 2
    return -math.expm1(float(steps @ (logs - logs.mean()) / (steps @ steps)))


def stability_ratio(validation_losses: Sequence[float]) -> float | None:
    """Return |first - last| / sum of |change per epoch| of the validation loss, 0..1.

    1 if every epoch changes the loss in the same direction, near 0 if it oscillates or ends where it began (efficiency
    ratio: Kaufman, Smarter Trading, 1995). None for fewer than three epochs and for losses whose
    sum is not a finite number; 1 if the loss never changes.
    """
    if len(validation_losses) < 3:
        return None
    try:
        path = math.fsum(abs(b - a) for a, b in itertools.pairwise(validation_losses))
    except OverflowError:
        # Losses near the largest float.
        return None
    # The sum is at least the distance, except for rounding errors.
    return 1.0 if path == 0 else min(1.0, abs(validation_losses[-1] - validation_losses[0]) / path)


def has_diverged(validation_losses: Sequence[float]) -> bool:
    """Return whether the last validation loss is more than twice the best and exceeds the first."""
    if not validation_losses:
        return False
    last, best, first = validation_losses[-1], min(validation_losses), validation_losses[0]
    return last > DIVERGED_RATIO * best and last > first


def _generalization_gap(epochs: Sequence[TrainingEpoch]) -> float | None:
    """Return validation minus training loss of the last epoch, in nats (Goodfellow, Deep Learning, section 5.2)."""
    if not epochs:
        return None
    last = epochs[-1]
    if last.train_loss is None or last.validation_loss is None:
        return None
    return last.validation_loss - last.train_loss


def _epoch(line: str, where: str) -> tuple[TrainingEpoch, bool]:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise StorageError(f"{where}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise StorageError(f"{where}: expected an object with epoch, train_loss and validation_loss")
    number = content.get("epoch")
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= MAX_EPOCH_NUMBER:
        raise StorageError(f"{where}: epoch: expected an integer from 0 to {MAX_EPOCH_NUMBER}, got {_shown(number)}")
    train, validation = _loss(content, "train_loss", where), _loss(content, "validation_loss", where)
    epoch = TrainingEpoch(
        epoch=number,
        train_loss=train if math.isfinite(train) else None,
        validation_loss=validation if math.isfinite(validation) else None,
        train_accuracy=_accuracy(content, "train_accuracy", where),
        validation_accuracy=_accuracy(content, "validation_accuracy", where),
    )
    return epoch, math.isfinite(train) and math.isfinite(validation)


def _loss(content: dict[str, Any], key: str, where: str) -> float:
    if key not in content:
        raise StorageError(f"{where}: {key} is missing")
    value = _number(content[key], key, where)
    if value < 0:
        raise StorageError(f"{where}: {key}: expected a loss, got {_shown(value)}")
    return value


def _accuracy(content: dict[str, Any], key: str, where: str) -> float | None:
    if content.get(key) is None:
        return None
    value = _number(content[key], key, where)
    if math.isnan(value):
        return None
    if not 0.0 <= value <= 1.0:
        raise StorageError(f"{where}: {key}: expected a ratio between 0 and 1, got {_shown(value)}")
    return value


def _number(value: object, key: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise StorageError(f"{where}: {key}: expected a number, got {_shown(value)}")
    try:
        return float(value)
    except OverflowError as error:
        raise StorageError(f"{where}: {key}: too large a number") from error


def _shown(value: object) -> str:
    return repr(value)[:40]

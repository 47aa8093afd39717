"""Every error this project raises on purpose, as one tree.

    StarlightError
    ├── ConfigError          a configuration file, flag or web-config file is wrong; names the key
    ├── ModelError           a model file cannot be used; names the file, and `reason` is bounded
    ├── DatasetError         a dataset folder cannot be used; names the folder or file
    ├── ImageError           one image gives no streams or no verdict; `reason` is bounded
    ├── ComparisonError      two evaluations cannot be compared; names both and what differs
    ├── BaselineError        a baseline file cannot be used; names the file and key
    ├── StorageError         history or evidence cannot be written or read; names the file
    ├── EvaluationError      an evaluation run gave no result; names model and dataset
    ├── DependencyError      an optional package is not installed; names the extra to install
    ├── QueryError           a parameter of an HTTP request is invalid; names the parameter
    └── MonitoringError      Prometheus or Alertmanager is unavailable; names the address

Third-party errors are mapped onto these once, at the boundary, with `raise … from`.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

NotMeasuredReason = Literal["unreadable", "too_large", "timeout", "model_error", "unlabelled"]
NOT_MEASURED_REASONS: Final[tuple[NotMeasuredReason, ...]] = get_args(NotMeasuredReason)

ModelFailureReason = Literal["missing", "unreadable", "invalid", "signature", "changed"]
MODEL_FAILURE_REASONS: Final[tuple[ModelFailureReason, ...]] = get_args(ModelFailureReason)


class StarlightError(Exception):
    """Base of every error raised on purpose; its text is one line that a user can act on."""


class ConfigError(StarlightError):
    """A configuration is wrong; the text names the file and the key, and what was expected."""


class ModelError(StarlightError):
    """A model file cannot be used; the text names the file, `reason` is one of MODEL_FAILURE_REASONS.

    missing: no such file; unreadable: permissions or a read error; invalid: not a loadable ONNX graph, or not all of it
    in this file; signature: inputs or outputs that do not fit the contract; changed: replaced while it was loaded.
    """

    def __init__(self, message: str, *, reason: ModelFailureReason) -> None:
        super().__init__(message)
        self.reason: ModelFailureReason = reason

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default exception pickling, and this crosses processes.
        return _rebuild_model_error, (str(self), self.reason)


class DatasetError(StarlightError):
    """A dataset cannot be used; the text names the folder or file and what was expected."""


class ImageError(StarlightError):
    """One image cannot be measured; `reason` is one of NOT_MEASURED_REASONS."""

    def __init__(self, message: str, *, reason: NotMeasuredReason) -> None:
        super().__init__(message)
        self.reason: NotMeasuredReason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_image_error, (str(self), self.reason)


class ComparisonError(StarlightError):
    """Two evaluations cannot be compared; the text names both and what differs."""


class BaselineError(StarlightError):
    """A baseline file cannot be used; the text names the file and key."""


class StorageError(StarlightError):
    """A file of our own (history, evidence) cannot be written or read; the text names it."""


class EvaluationError(StarlightError):
    """An evaluation run gave no result; the text names model and dataset and says why."""


class DependencyError(StarlightError):
    """An optional package is not installed; the text names the extra that installs it."""


class MonitoringError(StarlightError):
    """Prometheus or Alertmanager is unavailable, or its response is invalid; the text names the address."""


def _rebuild_model_error(message: str, reason: ModelFailureReason) -> ModelError:
    return ModelError(message, reason=reason)


def _rebuild_image_error(message: str, reason: NotMeasuredReason) -> ImageError:
    return ImageError(message, reason=reason)


class QueryError(StarlightError):
    """A query parameter of an HTTP request is invalid; the text names it, and what was expected."""

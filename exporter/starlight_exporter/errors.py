"""Exception hierarchy. The text of every exception is one line that a user can act on.

    StarlightError
    ├── ConfigError          a configuration file, flag or web configuration file is invalid; names the key
    ├── ModelError           a model file cannot be used; names the file, with a bounded `reason`
    ├── DatasetError         a dataset folder cannot be used; names the folder or file
    ├── ImageError           an image has no streams or no verdict; with a bounded `reason`
    │   └── TooLargeError    a file is larger than the caller reads
    ├── ComparisonError      two evaluations cannot be compared; names both and the difference
    ├── BaselineError        a baseline file cannot be used; names the file and key
    ├── StorageError         a file of the exporter cannot be written or read; names the file
    │   └── NewerSchemaError   a newer version wrote it; names that version
    ├── EvaluationError      an evaluation failed; names model and dataset
    │   └── EngineError      a cluster cannot run an evaluation; names the address, with a bounded `reason`
    ├── DependencyError      an optional package is not installed; names the extra to install
    ├── QueryError           a parameter of an HTTP request is invalid; names the parameter
    └── MonitoringError      Prometheus or Alertmanager is unavailable; names the address

Third-party exceptions are converted once, at the boundary, with `raise … from`.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

NotMeasuredReason = Literal["unreadable", "too_large", "timeout", "model_error", "unlabelled", "unsupported", "crashed"]
NOT_MEASURED_REASONS: Final[tuple[NotMeasuredReason, ...]] = get_args(NotMeasuredReason)

ModelFailureReason = Literal[
    "missing", "unreadable", "invalid", "signature", "changed", "nondeterministic", "limits", "provider"
]
MODEL_FAILURE_REASONS: Final[tuple[ModelFailureReason, ...]] = get_args(ModelFailureReason)

EngineFailureReason = Literal["unreachable", "no_workers", "version", "lost", "crashes"]
ENGINE_FAILURE_REASONS: Final[tuple[EngineFailureReason, ...]] = get_args(EngineFailureReason)


class StarlightError(Exception):
    """Base class of all expected errors."""


class ConfigError(StarlightError):
    """A configuration is invalid; the text names the file, the key and what is expected."""


class ModelError(StarlightError):
    """A model file cannot be used; the text names the file, `reason` is one of MODEL_FAILURE_REASONS.

    missing: no such file; unreadable: not a regular file, permissions or a read error; invalid: not a loadable ONNX
    graph, or weights in other files; signature: inputs or outputs that do not match the contract; changed: not the
    content that the run requires; nondeterministic: two runs on the same input differ; limits: more time or memory
    than allowed, or it ended the worker process; provider: an execution provider is unavailable or failed.
    """

    def __init__(self, message: str, *, reason: ModelFailureReason) -> None:
        super().__init__(message)
        self.reason: ModelFailureReason = reason

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions are passed between processes, and default pickling does not support keyword-only arguments.
        return _rebuild_model_error, (str(self), self.reason)


class DatasetError(StarlightError):
    """A dataset cannot be used; the text names the folder or file and what is expected."""


class ImageError(StarlightError):
    """One image cannot be measured; `reason` is one of NOT_MEASURED_REASONS.

    unreadable: missing, damaged or not an image; too_large: above a limit; timeout: too slow; model_error: the model
    failed; unlabelled: missing or contradictory labels; unsupported: a format or pixel type that is not measured;
    crashed: it ended the worker process.
    """

    def __init__(self, message: str, *, reason: NotMeasuredReason) -> None:
        super().__init__(message)
        self.reason: NotMeasuredReason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_image_error, (str(self), self.reason)


class TooLargeError(ImageError):
    """A file is larger than the caller reads. `start` are its first bytes, by which its format is known."""

    def __init__(self, message: str, *, size_bytes: int, start: bytes) -> None:
        super().__init__(message, reason="too_large")
        self.size_bytes = size_bytes
        self.start = start

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_too_large, (str(self), self.size_bytes, self.start)


class ComparisonError(StarlightError):
    """Two evaluations cannot be compared; the text names both and the difference."""


class BaselineError(StarlightError):
    """A baseline file cannot be used; the text names the file and key."""


class StorageError(StarlightError):
    """A file of the exporter (history, evidence, reports) cannot be written or read; the text names it."""


class NewerSchemaError(StorageError):
    """A newer version has stored something that this one cannot read; the text names that version."""


class EvaluationError(StarlightError):
    """An evaluation failed; the text names model, dataset and reason."""


class EngineError(EvaluationError):
    """A cluster cannot run an evaluation; the text names its address, `reason` is one of ENGINE_FAILURE_REASONS.

    unreachable: no connection to the scheduler; no_workers: it has none; version: a worker has other software than the
    driver; lost: the connection to the scheduler ended; crashes: too many files ended their worker.
    """

    def __init__(self, message: str, *, reason: EngineFailureReason) -> None:
        super().__init__(message)
        self.reason: EngineFailureReason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_engine_error, (str(self), self.reason)


class DependencyError(StarlightError):
    """An optional package is not installed; the text names the extra that installs it."""


class QueryError(StarlightError):
    """A query parameter of an HTTP request is invalid; the text names it and what is expected."""


class MonitoringError(StarlightError):
    """Prometheus or Alertmanager is unavailable, or its response is invalid; the text names the address."""


def _rebuild_model_error(message: str, reason: ModelFailureReason) -> ModelError:
    return ModelError(message, reason=reason)


def _rebuild_image_error(message: str, reason: NotMeasuredReason) -> ImageError:
    return ImageError(message, reason=reason)


def _rebuild_too_large(message: str, size_bytes: int, start: bytes) -> TooLargeError:
    return TooLargeError(message, size_bytes=size_bytes, start=start)


def _rebuild_engine_error(message: str, reason: EngineFailureReason) -> EngineError:
    return EngineError(message, reason=reason)

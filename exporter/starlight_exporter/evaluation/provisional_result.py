"""Provisional result: model and baseline model on a sample of a large dataset."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.baseline_verdicts import BaselineVerdicts
from starlight_exporter.evaluation.results import Prediction
from starlight_exporter.evaluation.spec import EvaluationSpec
from starlight_exporter.file_access import read_content
from starlight_exporter.files import write_bytes
from starlight_exporter.models.roles import Role

_MAX_FILE_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ProvisionalResult:
    """One model on a random sample of a dataset of `dataset_images` files. Times are UTC seconds.

    The fingerprint of `spec` is empty: it is known only once every file was read. The same listing, `seed` and
    `sample_size` give the same files (`sample.sample_files`). `baseline` is None without a usable baseline model.
    """

    model: str
    role: Role
    dataset: str
    trigger: str
    spec: EvaluationSpec
    seed: int
    sample_size: int
    dataset_images: int
    predictions: tuple[Prediction, ...]
    baseline: BaselineVerdicts | None
    started_at: float
    finished_at: float


@dataclass(frozen=True, slots=True)
class ProvisionalFailure:
    """Why an evaluation has no provisional result; its complete result does not depend on it."""

    reason: str


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[ProvisionalResult | ProvisionalFailure]:
    return TypeAdapter(ProvisionalResult | ProvisionalFailure)


def write_provisional(path: Path, result: ProvisionalResult | ProvisionalFailure) -> None:
    """Write a result, or why there is none, atomically as JSON, for the service. Raise StorageError."""
    write_bytes(path, _adapter().dump_json(result))


def read_provisional(path: Path) -> ProvisionalResult | ProvisionalFailure | None:
    """Return the content of a file; None if there is no file. Raise StorageError if it cannot be read."""
    try:
        return _adapter().validate_json(read_content(path, max_bytes=_MAX_FILE_BYTES).data, strict=True)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"{path}: provisional result cannot be read: {error.strerror or error}") from error
    except ValidationError as error:
        raise StorageError(f"{path}: provisional result is not valid: {error.errors()[0]['msg']}") from error

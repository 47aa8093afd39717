"""Files of one stored evaluation: results, predictions, checks, storage order, samples and thumbnails."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from starlight_exporter.checks.results import CheckResult
from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.drift import DriftSample
from starlight_exporter.evaluation.embedding_results import Projection
from starlight_exporter.evaluation.prediction_table import PREDICTIONS_FILE, PredictionTable
from starlight_exporter.evaluation.results import Evaluation, Prediction
from starlight_exporter.evaluation.serialisation import from_json, to_json
from starlight_exporter.file_access import read_content
from starlight_exporter.files import sync, write_text
from starlight_exporter.publish.retention import Entry

EVALUATION_FILE: Final = "evaluation.json"
CHECKS_FILE: Final = "checks.json"
SEQUENCE_FILE: Final = "sequence"
DRIFT_SAMPLE_FILE: Final = "drift_sample.npy"
PROJECTION_FILE: Final = "projection.npy"
THUMBNAILS: Final = "thumbnails"

FOLDER_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_PARTIAL: Final = ".partial-"
_CHECK_FIELDS: Final = frozenset(field.name for field in fields(CheckResult))
_MAX_TEXT_BYTES: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class EvaluationFiles:
    """What is stored of a result: `thumbnails` are PNG files by name, `sequence` is its number in storage order.

    `drift_sample` is None for an unlabelled dataset, `projection` without embeddings that can be projected.
    """

    evaluation: Evaluation
    predictions: Sequence[Prediction]
    checks: Sequence[CheckResult]
    thumbnails: Mapping[str, bytes]
    sequence: int
    drift_sample: DriftSample | None = None
    projection: Projection | None = None


def write_folder(root: Path, content: EvaluationFiles) -> Path:
    """Write the folder of an evaluation atomically and return it. Raises OSError, ValueError and sqlite3.Error."""
    evaluation = content.evaluation
    folder = root / evaluation.id
    partial = root / f"{_PARTIAL}{evaluation.id}"
    root.mkdir(parents=True, exist_ok=True)
    _delete_partial_folders(root)
    try:
        partial.mkdir()
        (partial / EVALUATION_FILE).write_text(to_json(evaluation) + "\n", encoding="utf-8")
        (partial / CHECKS_FILE).write_text(_checks_json(content.checks), encoding="utf-8")
        (partial / SEQUENCE_FILE).write_text(f"{content.sequence}\n", encoding="utf-8")
        PredictionTable.of(content.predictions).save(partial / PREDICTIONS_FILE)
        if content.drift_sample is not None:
            (partial / DRIFT_SAMPLE_FILE).write_bytes(content.drift_sample.to_bytes())
        if content.projection is not None:
            (partial / PROJECTION_FILE).write_bytes(content.projection.to_bytes())
        for written in (*sorted(partial.iterdir()), partial):
            sync(written)
        if content.thumbnails:
            (partial / THUMBNAILS).mkdir()
            for name, png in content.thumbnails.items():
                (partial / THUMBNAILS / name).write_bytes(png)
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync(root)
    return folder


def write_checks(folder: Path, checks: Sequence[CheckResult]) -> None:
    """Replace the checks of a stored evaluation atomically. Raises StorageError."""
    write_text(folder / CHECKS_FILE, _checks_json(checks))


def read_entry(folder: Path) -> Entry:
    """Return the entry of a stored evaluation. Raises StorageError."""
    evaluation, checks = read_evaluation(folder), read_checks(folder)
    return Entry(
        id=folder.name,
        model=evaluation.model,
        dataset=evaluation.dataset,
        spec=evaluation.provenance,
        finished_at=evaluation.finished_at,
        clean=evaluation.clean,
        stego=evaluation.stego,
        failed_checks=sum(check.passed is False and check.severity != "info" for check in checks),
        significant_checks=sum(check.severity == "critical" for check in checks),
        sequence=_read_sequence(folder),
        alarms=None if evaluation.unlabelled is None else evaluation.unlabelled.alarms,
    )


def read_evaluation(folder: Path) -> Evaluation:
    """Return a stored evaluation. Raises StorageError."""
    return from_json(_read_text(folder / EVALUATION_FILE))


def read_checks(folder: Path) -> tuple[CheckResult, ...]:
    """Return the checks of a stored evaluation. Raises StorageError."""
    path = folder / CHECKS_FILE
    text = _read_text(path)
    try:
        entries: list[dict[str, Any]] = json.loads(text)
        # Newer versions may add fields, as to evaluations.
        return tuple(
            CheckResult(**{name: value for name, value in entry.items() if name in _CHECK_FIELDS}) for entry in entries
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise StorageError(f"{path}: damaged: {error}") from error


def _read_sequence(folder: Path) -> int:
    path = folder / SEQUENCE_FILE
    if not path.exists():
        return 0
    text = _read_text(path)
    try:
        return int(text)
    except ValueError as error:
        raise StorageError(f"{path}: damaged: {error}") from error


def is_transient(error: StorageError) -> bool:
    """Return whether a file could become readable again, unlike a missing or damaged one."""
    cause = error.__cause__
    return isinstance(cause, OSError) and not isinstance(
        cause, FileNotFoundError | NotADirectoryError | IsADirectoryError
    )


def _checks_json(checks: Sequence[CheckResult]) -> str:
    return json.dumps([asdict(check) for check in checks]) + "\n"


def _delete_partial_folders(root: Path) -> None:
    """Delete what a crash during `write_folder` left behind."""
    for folder in root.glob(f"{_PARTIAL}*"):
        with suppress(OSError):
            shutil.rmtree(folder)


def _read_text(path: Path) -> str:
    try:
        return read_content(path, max_bytes=_MAX_TEXT_BYTES).data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error

"""The evidence behind an evaluation: its predictions, file by file, in `evaluations/<id>/`, a bounded number of them.

Each folder holds `evaluation.json` and `predictions.csv`; whoever makes pages may put more beside them. A folder
appears whole or not at all.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from exporter.errors import StorageError
from exporter.evaluation.evaluation import Evaluation, Prediction
from exporter.evaluation.predictions import read_predictions, write_predictions
from exporter.evaluation.serialise import from_json, to_json

_log = structlog.get_logger(__name__)

DEFAULT_KEEP: Final = 50
"""Evaluations kept for each model and dataset."""

EVALUATION_FILE: Final = "evaluation.json"
PREDICTIONS_FILE: Final = "predictions.csv"

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_PARTIAL: Final = ".partial-"


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored evaluation, as far as lists need it; `finished_at` is UTC seconds."""

    id: str
    model: str
    dataset: str
    dataset_fingerprint: str
    model_sha256: str
    decision: str
    finished_at: float


class Evidence:
    """The stored evaluations under one folder; only ids that are there lead anywhere, whatever is asked for."""

    def __init__(self, root: Path, *, keep: int = DEFAULT_KEEP) -> None:
        self._root = root / "evaluations"
        self._keep = keep
        self._mutex = threading.Lock()
        self._known: dict[str, Entry | None] = {}

    def store(self, evaluation: Evaluation, predictions: Sequence[Prediction]) -> Path:
        """Keeps one evaluation and returns its folder; the oldest of the same model and dataset make room.

        StorageError names what could not be written; then nothing of this evaluation stays behind.
        """
        if not _ID.fullmatch(evaluation.id):
            raise StorageError(f"{self._root}: {evaluation.id!r} cannot be the name of a folder")
        folder = self._root / evaluation.id
        partial = self._root / f"{_PARTIAL}{evaluation.id}"
        with self._mutex:
            try:
                self._root.mkdir(parents=True, exist_ok=True)
                self._remove_partial()
                partial.mkdir()
                (partial / EVALUATION_FILE).write_text(to_json(evaluation) + "\n", encoding="utf-8")
                write_predictions(partial / PREDICTIONS_FILE, predictions)
                for written in (partial / EVALUATION_FILE, partial / PREDICTIONS_FILE, partial):
                    _sync(written)
                partial.rename(folder)
                _sync(self._root)
            except (OSError, ValueError) as error:
                shutil.rmtree(partial, ignore_errors=True)
                raise StorageError(
                    f"{folder}: cannot be written: {getattr(error, 'strerror', None) or error}"
                ) from error
            self._prune(evaluation.model, evaluation.dataset)
        return folder

    def entries(self, model: str | None = None, dataset: str | None = None) -> list[Entry]:
        """What is stored, newest first, of one model or dataset if asked for."""
        with self._mutex:
            return self._entries(model, dataset)

    def find(self, evaluation_id: str) -> Entry | None:
        """The entry of this id; None for anything that is not the id of a stored evaluation."""
        with self._mutex:
            return next((entry for entry in self._entries(None, None) if entry.id == evaluation_id), None)

    def previous(self, entry: Entry) -> Entry | None:
        """The newest earlier evaluation of the same model on the same content of the same dataset."""
        for other in self.entries(entry.model, entry.dataset):
            if other.finished_at < entry.finished_at and other.dataset_fingerprint == entry.dataset_fingerprint:
                return other
        return None

    def predecessor(self, entry: Entry) -> Entry | None:
        """The newest earlier evaluation of another file under the same model's name, on the same content."""
        for other in self.entries(entry.model, entry.dataset):
            if (
                other.finished_at < entry.finished_at
                and other.dataset_fingerprint == entry.dataset_fingerprint
                and other.decision == entry.decision
                and other.model_sha256 != entry.model_sha256
            ):
                return other
        return None

    def folder(self, entry: Entry) -> Path:
        """Where the files of an entry are."""
        return self._root / entry.id

    def evaluation(self, entry: Entry) -> Evaluation:
        """The stored Evaluation; StorageError if it has vanished or is damaged."""
        return _read_evaluation(self.folder(entry) / EVALUATION_FILE)

    def predictions(self, entry: Entry) -> tuple[Prediction, ...]:
        """The stored predictions; StorageError if they have vanished or are damaged."""
        return read_predictions(self.folder(entry) / PREDICTIONS_FILE)

    def _entries(self, model: str | None, dataset: str | None) -> list[Entry]:
        try:
            names = sorted(
                item.name
                for item in self._root.iterdir()
                if _ID.fullmatch(item.name) and item.is_dir() and not item.is_symlink()
            )
        except FileNotFoundError:
            names = []
        except OSError as error:
            raise StorageError(f"{self._root}: cannot be read: {error.strerror or error}") from error
        # A stored evaluation never changes, so each file is read once; folders that are gone are forgotten.
        self._known = {name: self._known[name] if name in self._known else self._entry(name) for name in names}
        found = [
            entry
            for entry in self._known.values()
            if entry is not None and model in (None, entry.model) and dataset in (None, entry.dataset)
        ]
        return sorted(found, key=lambda entry: (entry.finished_at, entry.id), reverse=True)

    def _entry(self, name: str) -> Entry | None:
        try:
            evaluation = _read_evaluation(self._root / name / EVALUATION_FILE)
        except StorageError as error:
            _log.warning("damaged evidence skipped", reason=str(error))
            return None
        made_with = evaluation.provenance
        return Entry(
            id=name,
            model=evaluation.model,
            dataset=evaluation.dataset,
            dataset_fingerprint=made_with.dataset_fingerprint,
            model_sha256=made_with.model_sha256,
            decision=made_with.decision,
            finished_at=evaluation.finished_at,
        )

    def _prune(self, model: str, dataset: str) -> None:
        for entry in self._entries(model, dataset)[self._keep :]:
            # Room that could not be made is no reason to lose the result that was just stored.
            try:
                shutil.rmtree(self._root / entry.id)
            except OSError as error:
                _log.warning("old evidence cannot be removed", folder=str(self._root / entry.id), reason=str(error))

    def _remove_partial(self) -> None:
        """What a crash in the middle of `store` left behind."""
        for item in self._root.glob(f"{_PARTIAL}*"):
            with suppress(OSError):
                shutil.rmtree(item)


def _read_evaluation(path: Path) -> Evaluation:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return from_json(text)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""The evidence behind evaluations: predictions, checks and thumbnails of each, bounded by count and bytes."""

from __future__ import annotations

import math
import shutil
import sqlite3
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import structlog

from starlight_exporter.checks.results import CheckResult
from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.drift import DriftSample
from starlight_exporter.evaluation.embedding_results import Projection, read_projection
from starlight_exporter.evaluation.prediction_table import PREDICTIONS_FILE, PredictionTable
from starlight_exporter.evaluation.results import Evaluation, Prediction
from starlight_exporter.evaluation.spec import differences
from starlight_exporter.publish import evidence_files
from starlight_exporter.publish.disk import bytes_below, is_full
from starlight_exporter.publish.evidence_index import EvidenceIndex
from starlight_exporter.publish.prediction_store import PredictionStore
from starlight_exporter.publish.retention import (
    Entry,
    deletion_order,
    deletion_order_without_newest,
    excess,
    storage_order,
)

_log = structlog.get_logger(__name__)


class Evidence:
    """The stored evaluations in `evaluations/` below a folder.

    `keep` evaluations of each model and dataset are kept, and at most `max_bytes` in total.
    """

    def __init__(
        self,
        root: Path,
        *,
        keep: int = sys.maxsize,
        max_bytes: float = math.inf,
        deleted: Callable[[], None] = lambda: None,
    ) -> None:
        """Connect the folder; `deleted` is called after each evaluation that was deleted because of a limit."""
        self._deleted = deleted
        self._root = root / "evaluations"
        self._keep = keep
        self._max_bytes = max_bytes
        self._index = EvidenceIndex(self._root)
        # Not the lock of the index: pages must be able to list evaluations while one is written.
        self._writing = threading.Lock()

    def store(
        self,
        evaluation: Evaluation,
        predictions: Sequence[Prediction],
        *,
        checks: Sequence[CheckResult] = (),
        thumbnails: Mapping[str, bytes] = MappingProxyType({}),
        drift_sample: DriftSample | None = None,
        projection: Projection | None = None,
    ) -> Path:
        """Store an evaluation and return its folder. Old evaluations are evicted, also if the disk is full.

        `thumbnails` are PNG files by name. Raises StorageError if it cannot be written; nothing of it is stored then.
        """
        if not evidence_files.FOLDER_NAME.fullmatch(evaluation.id):
            raise StorageError(f"{self._root}: {evaluation.id!r} is not a valid folder name")
        with self._writing:
            while True:
                try:
                    sequence = 1 + max((entry.sequence for entry in self.entries()), default=0)
                    content = evidence_files.EvaluationFiles(
                        evaluation, predictions, checks, thumbnails, sequence, drift_sample, projection
                    )
                    folder = evidence_files.write_folder(self._root, content)
                    break
                except (OSError, ValueError, sqlite3.Error) as error:
                    if is_full(error) and self._delete_first(deletion_order(self.entries())):
                        continue
                    reason = getattr(error, "strerror", None) or error
                    raise StorageError(f"{self._root / evaluation.id}: cannot be written: {reason}") from error
            self._prune(evaluation.id)
        return folder

    def evict(self) -> int:
        """Delete the first evaluation in deletion order because the disk is full; return the number of bytes.

        The newest evaluation of a model and dataset is never deleted. Returns 0 if there is nothing to delete.
        """
        with self._writing:
            return self._delete_first(deletion_order_without_newest(self.entries()))

    def replace_checks(self, evaluation_id: str, checks: Sequence[CheckResult]) -> None:
        """Replace the checks of a stored evaluation, if it still exists and they differ. Raises StorageError."""
        with self._writing:
            entry = self.find(evaluation_id)
            if entry is not None and self.checks(entry) != tuple(checks):
                evidence_files.write_checks(self.folder(entry), checks)
                self._index.forget(evaluation_id)

    def entries(self, model: str | None = None, dataset: str | None = None) -> list[Entry]:
        """Return the stored evaluations, newest first, optionally of one model or dataset. Raises StorageError."""
        return [
            entry
            for entry in self._index.entries()
            if model in (None, entry.model) and dataset in (None, entry.dataset)
        ]

    def find(self, evaluation_id: str) -> Entry | None:
        """Return the entry with this id, which may be any text; None if there is none."""
        return next((entry for entry in self.entries() if entry.id == evaluation_id), None)

    def previous(self, entry: Entry) -> Entry | None:
        """Return the newest earlier evaluation of the same model on the same images to compare with.

        Evaluations with another model file, decision rule or execution provider are preferred to repetitions.
        """
        earlier = [
            other
            for other in self.entries(entry.model, entry.dataset)
            if storage_order(other) < storage_order(entry) and not differences(other.spec, entry.spec, "images")
        ]
        changed = (other for other in earlier if differences(other.spec, entry.spec, "model", "rule", "provider"))
        return next(changed, next(iter(earlier), None))

    def predecessor(self, evaluation: Evaluation) -> Entry | None:
        """Return the newest earlier evaluation of the same model with another file, on the same images and rule."""
        spec = evaluation.provenance
        for other in self.earlier(evaluation):
            if not differences(other.spec, spec, "images", "rule") and differences(other.spec, spec, "model"):
                return other
        return None

    def earlier(self, evaluation: Evaluation) -> list[Entry]:
        """Return the evaluations of the same pair before this one, which may not be stored yet, newest first."""
        entries = self.entries(evaluation.model, evaluation.dataset)
        stored = next((index for index, entry in enumerate(entries) if entry.id == evaluation.id), -1)
        return entries[stored + 1 :]

    def folder(self, entry: Entry) -> Path:
        """Return the folder of an entry."""
        return self._root / entry.id

    def evaluation(self, entry: Entry) -> Evaluation:
        """Return the stored Evaluation. Raises StorageError."""
        return evidence_files.read_evaluation(self.folder(entry))

    def checks(self, entry: Entry) -> tuple[CheckResult, ...]:
        """Return the checks of an evaluation, with the last baseline while it was displayed. Raises StorageError."""
        return evidence_files.read_checks(self.folder(entry))

    def predictions(self, entry: Entry) -> PredictionTable:
        """Return all stored predictions. Raises StorageError, as does every later access."""
        table = PredictionTable(self.folder(entry) / PREDICTIONS_FILE)
        len(table)
        return table

    def open(self, entry: Entry, *, before: Entry | None = None) -> PredictionStore:
        """Return the stored predictions, and those of `before` to compare with."""
        return PredictionStore(
            self.folder(entry) / PREDICTIONS_FILE,
            before=None if before is None else self.folder(before) / PREDICTIONS_FILE,
        )

    def drift_sample(self, entry: Entry) -> Path | None:
        """Return the file with the facts and scores of the clean images; None if it was not stored."""
        file = self.folder(entry) / evidence_files.DRIFT_SAMPLE_FILE
        return file if file.is_file() else None

    def projection(self, entry: Entry) -> Projection | None:
        """Return the projected images of an evaluation; None if none were stored. Raises StorageError."""
        file = self.folder(entry) / evidence_files.PROJECTION_FILE
        return read_projection(file) if file.exists() else None

    def thumbnail(self, entry: Entry, name: str) -> Path | None:
        """Return a thumbnail rendered during the evaluation, by its `thumbnail_name`."""
        file = self.folder(entry) / evidence_files.THUMBNAILS / name
        return file if file.is_file() else None

    def _prune(self, just_stored: str) -> None:
        entries = self.entries()
        for entry in excess(entries, self._keep):
            self._delete(entry.id)
        self.entries()
        sizes = {name: bytes_below(self._root / name) for name in self._index.folders()}
        total = sum(sizes.values())
        for name in self._deletable(deletion_order(entries)):
            if total <= self._max_bytes:
                return
            if name in sizes and name != just_stored and self._delete(name):
                total -= sizes[name]

    def _delete_first(self, entries: Sequence[Entry]) -> int:
        """Delete the first damaged folder, otherwise the first of the entries; return the number of bytes."""
        for name in self._deletable(entries):
            size = bytes_below(self._root / name)
            if self._delete(name):
                return max(1, size)
        return 0

    def _deletable(self, entries: Sequence[Entry]) -> list[str]:
        """Return the folders of entries and of unusable evaluations in deletion order.

        Damaged ones are first. Those of a newer version, to which the user may return, are kept longer than all but the
        newest of each model and dataset.
        """
        names = [entry.id for entry in entries]
        kept = {entry.id for entry in self._newest_of_pairs()}
        first = [name for name in names if name not in kept]
        return [*self._index.damaged(), *first, *self._index.newer(), *(name for name in names if name in kept)]

    def _newest_of_pairs(self) -> list[Entry]:
        newest = {(entry.model, entry.dataset): entry for entry in reversed(self.entries())}
        return list(newest.values())

    def _delete(self, name: str) -> bool:
        # An old evaluation that cannot be deleted must not fail the one that was just stored.
        try:
            shutil.rmtree(self._root / name)
        except OSError as error:
            _log.warning("old evidence cannot be deleted", folder=str(self._root / name), reason=str(error))
            return False
        _log.info("old evidence deleted", evaluation=name)
        self._deleted()
        return True

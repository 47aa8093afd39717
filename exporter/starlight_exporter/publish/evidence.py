"""The evidence behind evaluations: each one's predictions in `evaluations/<id>/`, bounded by count and bytes.

A folder holds `evaluation.json`, `predictions.sqlite`, `checks.json` and thumbnails, and appears whole or not at all.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import sqlite3
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import structlog

from starlight_exporter.checks.checks import CheckResult
from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.results import Evaluation, Prediction
from starlight_exporter.evaluation.serialisation import from_json, to_json
from starlight_exporter.evaluation.spec import differences
from starlight_exporter.files import sync, write_text
from starlight_exporter.publish.disk import bytes_below, is_full
from starlight_exporter.publish.prediction_store import PredictionStore, write_store
from starlight_exporter.publish.retention import Entry, newest_first, not_the_newest, removal_order, too_many

_log = structlog.get_logger(__name__)

EVALUATION_FILE: Final = "evaluation.json"
PREDICTIONS_FILE: Final = "predictions.sqlite"
CHECKS_FILE: Final = "checks.json"
THUMBNAILS: Final = "thumbnails"

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_PARTIAL: Final = ".partial-"


class Evidence:
    """The stored evaluations under one folder; only ids that are there lead anywhere, whatever is asked for.

    `keep` evaluations of each model and dataset stay, and `max_bytes` of all together; without bounds all of them.
    """

    def __init__(self, root: Path, *, keep: int = sys.maxsize, max_bytes: float = math.inf) -> None:
        self._root = root / "evaluations"
        self._keep = keep
        self._max_bytes = max_bytes
        # Apart: a page that lists what is there must not wait for fifty thousand rows to be written.
        self._writing = threading.Lock()
        self._listing = threading.Lock()
        # None: what is in the folder cannot be used, now or later.
        self._known: dict[str, Entry | None] = {}
        self._unread: frozenset[str] = frozenset()

    def store(
        self,
        evaluation: Evaluation,
        predictions: Sequence[Prediction],
        *,
        checks: Sequence[CheckResult] = (),
        thumbnails: Path | None = None,
    ) -> Path:
        """Keeps one evaluation and returns its folder; older ones make room, also where the disk is full.

        StorageError names what could not be written; then nothing of this evaluation stays behind.
        """
        if not _ID.fullmatch(evaluation.id):
            raise StorageError(f"{self._root}: {evaluation.id!r} cannot be the name of a folder")
        with self._writing:
            while True:
                try:
                    folder = self._write(evaluation, predictions, checks, thumbnails)
                    break
                except (OSError, ValueError, sqlite3.Error) as error:
                    if is_full(error) and self._remove_next():
                        continue
                    reason = getattr(error, "strerror", None) or error
                    raise StorageError(f"{self._root / evaluation.id}: cannot be written: {reason}") from error
            self._prune(evaluation.id)
        return folder

    def make_room(self) -> int:
        """Remove what is missed least, for a result that found the disk full; how many bytes that was.

        The newest evaluation of a model and dataset stays; 0 if nothing else is left.
        """
        with self._writing:
            entries = self.entries()
            return self._remove_first([*self._damaged(), *(entry.id for entry in not_the_newest(entries))])

    def entries(self, model: str | None = None, dataset: str | None = None) -> list[Entry]:
        """What is stored, newest first, of one model or dataset if asked for."""
        with self._listing:
            return self._entries(model, dataset)

    def find(self, evaluation_id: str) -> Entry | None:
        """The entry of this id; None for anything that is not the id of a stored evaluation."""
        return next((entry for entry in self.entries() if entry.id == evaluation_id), None)

    def previous(self, entry: Entry) -> Entry | None:
        """What to compare with: the newest earlier evaluation of the same model name on the same images.

        One by another model file or decision rule goes before a mere repetition.
        """
        earlier = [
            other
            for other in self.entries(entry.model, entry.dataset)
            if other.finished_at < entry.finished_at and not differences(other.spec, entry.spec, "images")
        ]
        changed = (other for other in earlier if differences(other.spec, entry.spec, "model", "rule"))
        return next(changed, next(iter(earlier), None))

    def predecessor(self, evaluation: Evaluation) -> Entry | None:
        """Return the newest earlier evaluation of the same model with another file, on the same images and rule."""
        spec = evaluation.provenance
        for other in self.entries(evaluation.model, evaluation.dataset):
            if (
                other.finished_at < evaluation.finished_at
                and not differences(other.spec, spec, "images", "rule")
                and differences(other.spec, spec, "model")
            ):
                return other
        return None

    def replace_checks(self, evaluation_id: str, checks: Sequence[CheckResult]) -> None:
        """Replace the checks of a stored evaluation, if it still exists and they differ. Raises StorageError."""
        with self._writing:
            entry = self.find(evaluation_id)
            if entry is not None and self.checks(entry) != tuple(checks):
                write_text(self.folder(entry) / CHECKS_FILE, _checks_json(checks))
                with self._listing:
                    self._known.pop(evaluation_id, None)

    def folder(self, entry: Entry) -> Path:
        """Where the files of an entry are."""
        return self._root / entry.id

    def evaluation(self, entry: Entry) -> Evaluation:
        """The stored Evaluation; StorageError if it has vanished or is damaged."""
        return _read_evaluation(self.folder(entry) / EVALUATION_FILE)

    def checks(self, entry: Entry) -> tuple[CheckResult, ...]:
        """Return the checks of an evaluation, with the last baseline while it was displayed. Raises StorageError."""
        return _read_checks(self.folder(entry) / CHECKS_FILE)

    def predictions(self, entry: Entry) -> tuple[Prediction, ...]:
        """All stored predictions; StorageError if they have vanished or are damaged."""
        return self.open(entry).all()

    def open(self, entry: Entry, *, before: Entry | None = None) -> PredictionStore:
        """The stored predictions, to be read a page at a time, and those to compare them with."""
        return PredictionStore(
            self.folder(entry) / PREDICTIONS_FILE,
            before=None if before is None else self.folder(before) / PREDICTIONS_FILE,
        )

    def thumbnail(self, entry: Entry, name: str) -> Path | None:
        """A thumbnail that was drawn during the evaluation; `name` is one of `dataset.names.thumbnail_name`."""
        file = self.folder(entry) / THUMBNAILS / name
        return file if file.is_file() else None

    def _write(
        self,
        evaluation: Evaluation,
        predictions: Sequence[Prediction],
        checks: Sequence[CheckResult],
        thumbnails: Path | None,
    ) -> Path:
        folder = self._root / evaluation.id
        partial = self._root / f"{_PARTIAL}{evaluation.id}"
        self._root.mkdir(parents=True, exist_ok=True)
        self._remove_partial()
        try:
            partial.mkdir()
            (partial / EVALUATION_FILE).write_text(to_json(evaluation) + "\n", encoding="utf-8")
            (partial / CHECKS_FILE).write_text(_checks_json(checks), encoding="utf-8")
            write_store(partial / PREDICTIONS_FILE, predictions)
            for written in (*sorted(partial.iterdir()), partial):
                sync(written)
            if thumbnails is not None:
                shutil.copytree(thumbnails, partial / THUMBNAILS)
            partial.rename(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        sync(self._root)
        return folder

    def _entries(self, model: str | None = None, dataset: str | None = None) -> list[Entry]:
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
        # Stored evaluations only change through `replace_checks`, so each file is read once.
        known = {name: self._known[name] for name in names if name in self._known}
        unread = set()
        for name in names:
            if name not in known:
                try:
                    known[name] = self._entry(name)
                except StorageError as error:
                    if _may_pass(error):
                        unread.add(name)
                    else:
                        known[name] = None
                    if name not in self._unread:
                        _log.warning("damaged evidence skipped", folder=str(self._root / name), reason=str(error))
        self._known, self._unread = known, frozenset(unread)
        return newest_first(
            entry
            for entry in self._known.values()
            if entry is not None and model in (None, entry.model) and dataset in (None, entry.dataset)
        )

    def _entry(self, name: str) -> Entry:
        folder = self._root / name
        evaluation = _read_evaluation(folder / EVALUATION_FILE)
        checks = _read_checks(folder / CHECKS_FILE)
        return Entry(
            id=name,
            model=evaluation.model,
            dataset=evaluation.dataset,
            spec=evaluation.provenance,
            finished_at=evaluation.finished_at,
            clean=evaluation.clean,
            stego=evaluation.stego,
            failed_checks=sum(check.passed is False and check.severity != "info" for check in checks),
        )

    def _damaged(self) -> list[str]:
        """The folders whose content cannot be used by this version, as of the last look."""
        return [name for name, entry in self._known.items() if entry is None]

    def _prune(self, just_stored: str) -> None:
        entries = self.entries()
        for entry in too_many(entries, self._keep):
            self._remove(entry.id)
        self.entries()
        left = {name: bytes_below(self._root / name) for name in (*self._known, *self._unread)}
        total = sum(left.values())
        for name in (*self._damaged(), *(entry.id for entry in removal_order(entries))):
            if total <= self._max_bytes:
                return
            if name in left and name != just_stored and self._remove(name):
                total -= left[name]

    def _remove_next(self) -> bool:
        entries = self.entries()
        return self._remove_first([*self._damaged(), *(entry.id for entry in removal_order(entries))]) > 0

    def _remove_first(self, names: Sequence[str]) -> int:
        for name in names:
            size = bytes_below(self._root / name)
            if self._remove(name):
                return max(1, size)
        return 0

    def _remove(self, name: str) -> bool:
        # Room that could not be made is no reason to lose the result that was just stored.
        try:
            shutil.rmtree(self._root / name)
        except OSError as error:
            _log.warning("old evidence cannot be removed", folder=str(self._root / name), reason=str(error))
            return False
        _log.info("old evidence removed", evaluation=name)
        return True

    def _remove_partial(self) -> None:
        """What a crash in the middle of `store` left behind."""
        for item in self._root.glob(f"{_PARTIAL}*"):
            with suppress(OSError):
                shutil.rmtree(item)


def _checks_json(checks: Sequence[CheckResult]) -> str:
    return json.dumps([asdict(one) for one in checks]) + "\n"


def _read_evaluation(path: Path) -> Evaluation:
    return from_json(_read_text(path))


def _read_checks(path: Path) -> tuple[CheckResult, ...]:
    text = _read_text(path)
    try:
        entries: list[dict[str, Any]] = json.loads(text)
        return tuple(CheckResult(**entry) for entry in entries)
    except (ValueError, TypeError) as error:
        raise StorageError(f"{path}: damaged: {error}") from error


def _may_pass(error: StorageError) -> bool:
    """Whether a look later may find what cannot be read now; a file that is missing does not come any more."""
    cause = error.__cause__
    return isinstance(cause, OSError) and not isinstance(
        cause, FileNotFoundError | NotADirectoryError | IsADirectoryError
    )


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error

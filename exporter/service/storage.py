"""Where results are kept: history and evidence, moved on a reload, and never in the way of a result that is shown."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import structlog

from exporter.config import Config
from exporter.errors import StorageError
from exporter.evaluation.baseline import Baseline
from exporter.evaluation.evaluation import Evaluation, RunResult
from exporter.evaluation.regression import check
from exporter.publish.evidence import Evidence, is_full
from exporter.publish.history import History
from exporter.publish.snapshot import Pair, Store
from exporter.service.state import State

_log = structlog.get_logger(__name__)


class Storage:
    """History and evidence of one configuration; a failure to write is counted and told, not raised."""

    def __init__(self, state: State, config: Config) -> None:
        self._state = state
        self._config = config
        self._storing = threading.Lock()
        self.history = _history(config)
        self.evidence = _evidence(config)

    def open(self) -> None:
        """Make ready to write."""
        try:
            self.history.open()
        except StorageError as error:
            self._failed("history", error)

    def close(self) -> None:
        """Write nothing any more."""
        with self._storing:
            self.history.close()

    def move(self, config: Config) -> None:
        """Keep what follows where the new configuration says."""
        with self._storing:
            before, self._config = self._config, config
            if (before.paths.data, before.history) != (config.paths.data, config.history):
                self.history.close()
                self.history = _history(config)
                self.open()
            if (before.paths.results, before.evidence) != (config.paths.results, config.evidence):
                self.evidence = _evidence(config)
        self.look()

    def keep(self, result: RunResult, thumbnails: Path | None, baseline: Baseline | None) -> None:
        """Store a result and the evidence behind it."""
        with self._storing:
            try:
                self._append(result.evaluation)
            except StorageError as error:
                self._failed("history", error)
            try:
                checks = check(result.evaluation, baseline)
                self.evidence.store(result.evaluation, result.predictions, checks=checks, thumbnails=thumbnails)
            except StorageError as error:
                self._failed("evidence", error)

    def latest(self, pairs: Iterable[Pair]) -> dict[Pair, Evaluation]:
        """The last stored result of each pair that has one."""
        try:
            latest = self.history.load_latest(set(pairs))
        except StorageError as error:
            self._failed("history", error)
            return {}
        self._state.update(lambda s: replace(s, history_damaged_lines=latest.damaged_lines))
        return dict(latest.evaluations)

    def look(self) -> None:
        """Show how much room there is and how much is taken."""
        folders: dict[Store, Path] = {"history": self._config.paths.data, "evidence": self._config.paths.results}
        free: dict[Store, int] = {}
        for store, folder in folders.items():
            for place in (folder, *folder.parents):
                # The folder itself may be still to come.
                with suppress(OSError):
                    free[store] = shutil.disk_usage(place).free
                    break
        sizes: dict[Store, int] = {
            "history": _size(self._config.paths.data.glob("history*.jsonl*")),
            "evidence": _size((self._config.paths.results / "evaluations").rglob("*")),
        }
        self._state.update(lambda s: replace(s, storage_free_bytes=free, storage_size_bytes=sizes))

    def _append(self, evaluation: Evaluation) -> None:
        """A line of history; where the disk is full, old evidence goes before a new result is lost."""
        stored = False
        while not stored:
            try:
                self.history.append(evaluation)
                stored = True
            except StorageError as error:
                if not is_full(error) or not self.evidence.make_room():
                    raise

    def _failed(self, store: Store, error: Exception) -> None:
        _log.error("result not stored", store=store, reason=str(error))
        self._state.update(lambda s: s.with_storage_failure(store))


def _history(config: Config) -> History:
    return History(config.paths.data / "history.jsonl", max_bytes=config.history.max_bytes, keep=config.history.keep)


def _evidence(config: Config) -> Evidence:
    return Evidence(config.paths.results, keep=config.evidence.keep, max_bytes=config.evidence.max_bytes)


def _size(files: Iterable[Path]) -> int:
    total = 0
    for file in files:
        # Old ones are removed meanwhile.
        with suppress(OSError):
            total += file.stat().st_size if file.is_file() else 0
    return total

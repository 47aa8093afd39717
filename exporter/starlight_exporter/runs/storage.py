"""Where results are kept: history and evidence, moved on a reload, and never in the way of a result that is shown."""

from __future__ import annotations

import fnmatch
import os
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from starlight_exporter.checks.baseline import Baseline
from starlight_exporter.checks.checks import run_checks
from starlight_exporter.config import Config
from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.results import Evaluation, RunResult
from starlight_exporter.publish.disk import bytes_below, free_bytes, is_full, on_one_device
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.history import History
from starlight_exporter.publish.snapshot import Pair, Store
from starlight_exporter.runs.state import State

_log = structlog.get_logger(__name__)

ENOUGH_BYTES: Final = 1024 * 1024
"""No line of history is nearly as long: where the disk is full after so much was removed, something else fills it."""


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
                checks = run_checks(result.evaluation, baseline)
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
        found = {store: free_bytes(folder) for store, folder in folders.items()}
        free = {store: left for store, left in found.items() if left is not None}
        sizes: dict[Store, int] = {
            "history": _history_bytes(self._config.paths.data),
            "evidence": bytes_below(self._config.paths.results / "evaluations"),
        }
        self._state.update(lambda s: replace(s, storage_free_bytes=free, storage_size_bytes=sizes))

    def _append(self, evaluation: Evaluation) -> None:
        """A line of history; where the disk is full, old evidence on the same one goes before a new result is lost."""
        removed = 0
        while True:
            try:
                self.history.append(evaluation)
            except StorageError as error:
                if not is_full(error) or removed >= ENOUGH_BYTES or not self._share_a_disk():
                    raise
                more = self.evidence.make_room()
                if not more:
                    raise
                removed += more
            else:
                return

    def _share_a_disk(self) -> bool:
        return on_one_device(self._config.paths.data, self._config.paths.results / "evaluations")

    def _failed(self, store: Store, error: Exception) -> None:
        _log.error("result not stored", store=store, reason=str(error))
        self._state.update(lambda s: s.with_storage_failure(store))


def _history(config: Config) -> History:
    return History(config.paths.data / "history.jsonl", max_bytes=config.history.max_bytes, keep=config.history.keep)


def _evidence(config: Config) -> Evidence:
    return Evidence(config.paths.results, keep=config.evidence.keep, max_bytes=config.evidence.max_bytes)


def _history_bytes(folder: Path) -> int:
    total = 0
    # Old ones are removed meanwhile, and the folder may be.
    with suppress(OSError):
        for name in fnmatch.filter(os.listdir(folder), "history*.jsonl*"):  # noqa: PTH208  # names alone
            with suppress(OSError):
                total += (folder / name).stat().st_size
    return total

"""Storage of results: history and evidence. A failure to write does not prevent that a result is displayed."""

from __future__ import annotations

import fnmatch
import os
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from starlight_exporter.checks.results import CheckResult
from starlight_exporter.config import Config
from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.results import Evaluation, RunResult
from starlight_exporter.publish.compaction import CompactionPlan, FilePlan, compaction_limit
from starlight_exporter.publish.disk import bytes_below, free_bytes, is_full, on_one_device
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.history import History
from starlight_exporter.publish.retention import Entry
from starlight_exporter.publish.snapshot import Pair, Store
from starlight_exporter.runs.pending_results import PendingResult, PendingResults, is_outage
from starlight_exporter.runs.state import State

_log = structlog.get_logger(__name__)

ENOUGH_BYTES: Final = 1024 * 1024
"""More than any line of history needs: if the disk is still full after that, something else fills it."""


class Storage:
    """History and evidence of the active configuration. Failures are logged and counted, not raised."""

    def __init__(self, state: State, config: Config) -> None:
        self._state = state
        self._config = config
        self._storing = threading.Lock()
        self._pending = PendingResults()
        self.history = _history(config)
        self.evidence = self._evidence(config)
        self._compacted: tuple[History, float] | None = None

    def open(self) -> None:
        """Open the history for writing."""
        try:
            self.history.open()
        except StorageError as error:
            self._failed("history", error)

    def close(self) -> None:
        """Store what has to wait once more, and close the history."""
        self.retry()
        with self._storing:
            if len(self._pending):
                _log.error("pending results lost at exit", results=len(self._pending))
            self._pending.close()
            self.history.close()

    def move(self, config: Config) -> None:
        """Use the folders and limits of another configuration from now on."""
        with self._storing:
            before, self._config = self._config, config
            if (before.paths.data, before.history) != (config.paths.data, config.history):
                self.history.close()
                self.history = _history(config)
                self.open()
            if (before.paths.results, before.evidence) != (config.paths.results, config.evidence):
                self.evidence = self._evidence(config)
        self.update_metrics()

    def store(self, result: RunResult, checks: Sequence[CheckResult], thumbnails: Path | None) -> None:
        """Store a result with its predictions, checks and thumbnails; keep it if that fails."""
        with self._storing:
            self._pending.add(result, checks, thumbnails)
            for store, error in self._pending.write(self._write).items():
                self._failed(store, error)
            for dropped in self._pending.drop_oldest():
                _log.error("result dropped, because too many could not be stored", evaluation=dropped.id)
            self._pending.keep()
            self._update_pending()

    def retry(self) -> None:
        """Store the results that could not be stored before."""
        with self._storing:
            waiting = len(self._pending)
            if not waiting:
                return
            rejected = 0
            for store, error in self._pending.write(self._write).items():
                # An outage was reported when the result was measured.
                if not is_outage(error):
                    rejected += 1
                    self._failed(store, error)
            self._update_pending()
            if waiting - len(self._pending) > rejected:
                _log.info("pending results stored", results=waiting - len(self._pending), waiting=len(self._pending))

    def pending_predictions(self, evaluation_id: str) -> PredictionTable | None:
        """Return the predictions of a result that could not be stored yet; None if there is no such result."""
        with self._storing:
            return self._pending.predictions(evaluation_id)

    def replace_checks(self, evaluation_id: str, checks: Sequence[CheckResult]) -> None:
        """Replace the checks of a result, stored or pending, after its baseline changed."""
        with self._storing:
            try:
                self._pending.replace_checks(evaluation_id, checks)
                if self.evidence.find(evaluation_id) is not None:
                    self.evidence.replace_checks(evaluation_id, checks)
            except StorageError as error:
                self._failed("evidence", error)

    def find(self, evaluation_id: str) -> Entry | None:
        """Return the evidence entry of a result; None if it is not stored or cannot be read."""
        try:
            return self.evidence.find(evaluation_id)
        except StorageError as error:
            _log.warning("evidence not readable", evaluation=evaluation_id, reason=str(error))
            return None

    def latest(self, pairs: Iterable[Pair]) -> dict[Pair, Evaluation]:
        """Return the last result in the history of each pair that has one."""
        try:
            latest = self.history.load_latest(set(pairs))
        except StorageError as error:
            self._failed("history", error)
            return {}
        self._state.update(lambda s: replace(s, history_damaged_lines=latest.damaged_lines))
        return dict(latest.evaluations)

    def check(self) -> None:
        """Store pending results, and publish free and used disk space."""
        self.retry()
        self.update_metrics()

    def compact(self) -> None:
        """Thin out old results of the history once a day, if that is configured. Results can be stored meanwhile."""
        age = self._config.history.compact_after
        if age is None:
            if self._state.snapshot.history_compaction_successful is not None:
                self._state.update(lambda s: replace(s, history_compaction_successful=None))
            return
        history, limit = self.history, compaction_limit(age)
        if self._compacted == (history, limit):
            # Whole days are compacted, so that nothing can be removed before the limit changes.
            return
        try:
            plan = history.compact(age, removed=self._compacted_file)
        except StorageError as error:
            _log.error("history not compacted", reason=str(error))
            self._state.update(lambda s: replace(s, history_compaction_successful=False))
            return
        finally:
            with self._storing:
                if history is not self.history:
                    # The configuration changed meanwhile: `compact` may have opened the closed history again.
                    history.close()
        self._compacted = history, limit
        self._state.update(lambda s: replace(s, history_compaction_successful=True))
        self._log_compaction(plan)

    def _compacted_file(self, file: FilePlan) -> None:
        self._state.update(lambda s: s.with_removed_results("history", len(file.removed)))

    def _log_compaction(self, plan: CompactionPlan) -> None:
        if plan.records:
            _log.info("history compacted", records=plan.records, bytes=plan.bytes)
            self.update_metrics()
        if plan.unconfirmed:
            _log.info("old results kept", records=plan.unconfirmed, reason=plan.reason)
        if plan.future:
            _log.warning("results with dates in the future kept", records=plan.future, reason=plan.future_reason)

    def update_metrics(self) -> None:
        """Publish free and used disk space."""
        folders: dict[Store, Path] = {"history": self._config.paths.data, "evidence": self._config.paths.results}
        found = {store: free_bytes(folder) for store, folder in folders.items()}
        free = {store: left for store, left in found.items() if left is not None}
        sizes: dict[Store, int] = {
            "history": _history_bytes(self._config.paths.data),
            "evidence": bytes_below(self._config.paths.results / "evaluations"),
        }
        self._state.update(lambda s: replace(s, storage_free_bytes=free, storage_size_bytes=sizes))

    def _update_pending(self) -> None:
        pending = len(self._pending)
        if self._state.snapshot.storage_pending != pending:
            self._state.update(lambda s: replace(s, storage_pending=pending))

    def _write(self, store: Store, result: PendingResult) -> None:
        """Write a result to one store. Raises StorageError."""
        if store == "history":
            self._append(result.evaluation)
        elif self.find(result.evaluation.id) is None:
            self.evidence.store(
                result.evaluation,
                result.predictions,
                checks=result.checks,
                thumbnails=result.thumbnails,
                drift_sample=result.drift_sample,
                projection=result.projection,
            )

    def _append(self, evaluation: Evaluation) -> None:
        """Append to the history. If the disk is full, remove old evidence on the same disk first."""
        removed = 0
        while True:
            try:
                self.history.append(evaluation)
            except StorageError as error:
                if not is_full(error) or removed >= ENOUGH_BYTES or not self._share_a_disk():
                    raise
                freed = self.evidence.evict()
                if not freed:
                    raise
                removed += freed
            else:
                return

    def _evidence(self, config: Config) -> Evidence:
        return Evidence(
            config.paths.results,
            keep=config.evidence.keep,
            max_bytes=config.evidence.max_bytes,
            deleted=lambda: self._state.update(lambda s: s.with_removed_results("evidence", 1)),
        )

    def _share_a_disk(self) -> bool:
        return on_one_device(self._config.paths.data, self._config.paths.results / "evaluations")

    def _failed(self, store: Store, error: Exception) -> None:
        _log.error("result not stored", store=store, reason=str(error))
        self._state.update(lambda s: s.with_storage_failure(store))


def _history(config: Config) -> History:
    return History(config.paths.data / "history.jsonl", max_bytes=config.history.max_bytes, keep=config.history.keep)


def _history_bytes(folder: Path) -> int:
    total = 0
    # Files may be removed in the meantime, or the whole folder.
    with suppress(OSError):
        for name in fnmatch.filter(os.listdir(folder), "history*.jsonl*"):  # noqa: PTH208  # faster than a Path for each name
            with suppress(OSError):
                total += (folder / name).stat().st_size
    return total

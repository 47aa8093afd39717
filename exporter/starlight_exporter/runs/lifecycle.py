"""Lifecycle of the exporter: start, reload, stop, and the periodic jobs."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from starlight_exporter.config import Config
from starlight_exporter.runs.clock import CHECK_SECONDS
from starlight_exporter.runs.configuration import ActiveConfiguration
from starlight_exporter.runs.file_changes import FileChanges, ReadConfiguration
from starlight_exporter.runs.restore import Restorer
from starlight_exporter.runs.runner import Runner
from starlight_exporter.runs.scheduler import Scheduler
from starlight_exporter.runs.scratch import remove_abandoned_folders
from starlight_exporter.runs.storage import Storage

_log = structlog.get_logger(__name__)

STORAGE_CHECK_SECONDS: Final = 60.0
COMPACTION_SECONDS: Final = 3600.0
"""The history is compacted once a day, and tried again at this interval after a failure."""


@dataclass(frozen=True, slots=True)
class ScheduledWork:
    """Periodic jobs: evaluation of all pairs and all analyses at configured times, and checks of the system clock."""

    evaluate: Callable[[], None]
    analyze: Callable[[], None]
    check_clock: Callable[[], None]


class Lifecycle:
    """Starts and stops the parts of the exporter in the right order, and applies a changed configuration to them."""

    def __init__(
        self,
        *,
        config: ActiveConfiguration,
        files: FileChanges,
        storage: Storage,
        runner: Runner,
        restorer: Restorer,
        work: ScheduledWork,
    ) -> None:
        self._config = config
        self._files = files
        self._storage = storage
        self._runner = runner
        self._restorer = restorer
        self._work = work
        self._scheduler = Scheduler()
        self._reloading = threading.Lock()
        self._reloads = itertools.count(1)
        self._activated_reload = 0

    def start(self) -> None:
        """Activate the configuration, restore results, and start to watch files and to evaluate."""
        for folder in remove_abandoned_folders():
            _log.info("temporary folder of a killed process removed", folder=str(folder))
        self._storage.open()
        self._files.activate(self._files.read(self._config.loaded))
        self._files.hash_new_models()
        self._config.report_success()
        self._schedule(None)
        self._storage.update_metrics()
        self._scheduler.run_every("storage", STORAGE_CHECK_SECONDS, self._storage.check)
        self._scheduler.run_every("compaction", COMPACTION_SECONDS, self._storage.compact)
        self._scheduler.run_every("clock", CHECK_SECONDS, self._work.check_clock)
        self._scheduler.start()
        self._runner.start()
        self._restorer.start()

    def reload(self) -> None:
        """Load and activate the configuration file. Raises ConfigError; then nothing changes."""
        number = next(self._reloads)
        # Untrusted files are read without the lock: a file system that does not respond must not block other reloads.
        loaded = self._config.read()
        while (before := self._activate(number, self._files.read(loaded))) is None:
            if number < self._activated_reload:
                # A later reload, which has read a newer file, is active already.
                self._files.watch_current()
                return
        _log.info("configuration reloaded", file=str(self._config.file))
        self._files.hash_new_models()
        self._files.evaluate_changed(before, "reload")

    def stop(self) -> None:
        """Stop the jobs, cancel the current run, and close the history."""
        self._scheduler.stop()
        self._runner.stop()
        self._restorer.join()
        self._storage.close()

    def _activate(self, number: int, read: ReadConfiguration) -> Config | None:
        """Activate what a reload has read and return the configuration before; None if a later one is active."""
        with self._reloading:
            before = self._config.current
            if number < self._activated_reload or not self._files.activate(read):
                return None
            self._activated_reload = number
            self._files.end_quarantines()
            self._config.report_success()
            self._schedule(before)
            self._storage.move(self._config.current)
            return before

    def _schedule(self, before: Config | None) -> None:
        config = self._config.current
        # A replaced job starts a new interval, so unchanged jobs are kept.
        if before is None or before.schedule != config.schedule:
            self._scheduler.run_by("evaluate", config.schedule, self._work.evaluate)
        if before is None or before.analyses.interval != config.analyses.interval:
            self._scheduler.run_every("analyses", config.analyses.interval, self._work.analyze)
        if before is None or before.watch.interval != config.watch.interval:
            self._scheduler.run_every("watch", config.watch.interval, self._files.poll)
            # In a thread of its own: a dataset of a million files must not delay the detection of a new model file.
            self._scheduler.run_every("watch datasets", config.watch.interval, self._files.poll_datasets)

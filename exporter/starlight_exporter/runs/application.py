"""The exporter without HTTP: wiring, and what pages, scrapes and requests need."""

from __future__ import annotations

import os
import platform
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import starlight_exporter
from starlight_exporter.config import Config
from starlight_exporter.detector.providers import onnxruntime_version
from starlight_exporter.errors import ConfigError
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.snapshot import BuildInfo, ConfigReload, Pair, Snapshot
from starlight_exporter.runs.analyses import Analyses
from starlight_exporter.runs.clock import ClockMonitor
from starlight_exporter.runs.configuration import ActiveConfiguration
from starlight_exporter.runs.dataset_changes import DatasetChanges
from starlight_exporter.runs.evaluations import Evaluations
from starlight_exporter.runs.file_changes import FileChanges
from starlight_exporter.runs.lifecycle import Lifecycle, ScheduledWork
from starlight_exporter.runs.pipeline import Pipeline
from starlight_exporter.runs.process import Isolation, WorkerProcess
from starlight_exporter.runs.remote_listings import INTERVALS
from starlight_exporter.runs.reports import Reports
from starlight_exporter.runs.restore import Restorer
from starlight_exporter.runs.runner import LATER_PRIORITY, PRIORITY, Runner
from starlight_exporter.runs.snapshot_updates import without_quarantine
from starlight_exporter.runs.state import State
from starlight_exporter.runs.storage import Storage
from starlight_exporter.runs.watcher import Watcher


class Application:
    """The exporter for its HTTP side: current state, requests for evaluations, and its lifecycle."""

    def __init__(
        self, config_file: Path, *, watch_config: bool = False, external_url: str = "", grafana_url: str = ""
    ) -> None:
        """Load the configuration and connect the parts; nothing is started or written. Raises ConfigError.

        With `watch_config`, a changed configuration file is loaded as by `reload`.
        """
        self.state = State(_first_snapshot(external_url, grafana_url))
        watcher = Watcher(settle=0)
        if watch_config:
            # Before it is read, so that no change in between is missed.
            watcher.watch_file("configuration", config_file)
        self._config = ActiveConfiguration(config_file, self.state)
        watch = self._config.loaded.watch
        watcher.settle, watcher.listings.interval = watch.settle, INTERVALS * watch.interval
        self._storage = Storage(self.state, self._config.loaded)
        self._runner = Runner(
            priority=self._priority,
            timeout=lambda: self._config.current.limits.evaluation_timeout,
            make_process=self.make_process,
        )
        pipeline = Pipeline(self.state, self._storage, self._config)
        reports = Reports(self.state, self._storage, self._config)
        analyses = Analyses(self._config, self.state, self._runner, watcher, reports)
        datasets = DatasetChanges(self._config, self.state, self._runner)
        files = FileChanges(
            config=self._config,
            state=self.state,
            pipeline=pipeline,
            runner=self._runner,
            analyses=analyses,
            watcher=watcher,
            dataset_changed=datasets.changed,
            config_changed=self._config_changed if watch_config else None,
        )
        self._runner.handler = Evaluations(self._config, files, pipeline, self._runner, analyses)
        restorer = Restorer(
            config=self._config,
            state=self.state,
            storage=self._storage,
            pipeline=pipeline,
            runner=self._runner,
            analyses=analyses,
            fingerprint=datasets.fingerprint,
        )
        self._lifecycle = Lifecycle(
            config=self._config,
            files=files,
            storage=self._storage,
            runner=self._runner,
            restorer=restorer,
            work=ScheduledWork(self._evaluate_all, analyses.run_all, ClockMonitor(self.state).check),
        )

    @property
    def config(self) -> Config:
        """The active configuration, with the discovered research models."""
        return self._config.current

    @property
    def evidence(self) -> Evidence:
        """The stored predictions and thumbnails of each result."""
        return self._storage.evidence

    def scraped(self) -> Snapshot:
        """Return the snapshot with the number of evaluations that are queued now, and the time of the scrape."""
        return replace(
            self.state.snapshot,
            queued=self._runner.queued(),
            monotonic_now=time.monotonic(),
        )

    def report_web_config(self, successful: bool) -> None:
        """Report as a metric whether the last load of the web configuration was successful."""
        self.state.update(lambda snapshot: replace(snapshot, web_config=_after_load(snapshot.web_config, successful)))

    def start(self) -> None:
        """Activate the configuration, restore results, and start to watch files and to evaluate."""
        self._lifecycle.start()

    def reload(self) -> None:
        """Load and activate the configuration file. Raises ConfigError; then nothing changes."""
        self._lifecycle.reload()

    def stop(self) -> None:
        """Cancel the current run and stop."""
        self._lifecycle.stop()

    def make_process(self) -> WorkerProcess:
        """Return a worker process with the configured memory limit, and with a network if the engine needs it."""
        config = self._config.current
        return WorkerProcess(
            memory_bytes=config.limits.worker_memory,
            network=config.engine.settings().needs_network,
            report_isolation=self._report_isolation,
        )

    def evaluate(self, model: str | None, dataset: str | None, trigger: str) -> list[Pair]:
        """Queue all pairs of a model and a dataset (None: of all) and return them. A request ends a quarantine."""
        if trigger == "request":
            self.state.update(lambda s: without_quarantine(s, model))
        pairs = [p for p in self.state.snapshot.runs if model in (None, p[0]) and dataset in (None, p[1])]
        for pair in pairs:
            self._runner.submit(pair, trigger)
        return pairs

    def not_ready(self) -> str:
        """Return which production model has no result on which labelled dataset with alerts; empty if all have one.

        If there is no such dataset, all of them count.
        """
        snapshot = self.state.snapshot
        first = {name for name, dataset in snapshot.datasets.items() if dataset.comes_first} or set(snapshot.datasets)
        missing = [
            f"{model} on {dataset}"
            for (model, dataset), run in snapshot.runs.items()
            if snapshot.models[model].role == "production" and dataset in first and run.evaluation is None
        ]
        if not any(model.role == "production" for model in snapshot.models.values()):
            return "no production model is configured"
        return f"no result yet: {', '.join(missing)}" if missing else ""

    def _config_changed(self) -> None:
        # Logged and reported as a metric; the previous configuration stays active.
        with suppress(ConfigError):
            self.reload()

    def _report_isolation(self, isolation: Isolation) -> None:
        snapshot = self.state.snapshot
        if (snapshot.worker_network_isolated, snapshot.worker_memory_group) != (isolation.network, isolation.memory):
            self.state.update(
                lambda s: replace(s, worker_network_isolated=isolation.network, worker_memory_group=isolation.memory)
            )

    def _evaluate_all(self) -> None:
        self.evaluate(None, None, "schedule")

    def _priority(self, pair: Pair) -> int:
        snapshot = self.state.snapshot
        model, dataset = snapshot.models.get(pair[0]), snapshot.datasets.get(pair[1])
        if model is None or dataset is None:
            return max(*PRIORITY.values(), *LATER_PRIORITY.values()) + 1
        return (PRIORITY if dataset.comes_first else LATER_PRIORITY)[model.role]


def _after_load(before: ConfigReload | None, successful: bool) -> ConfigReload:
    if successful:
        return ConfigReload(successful=True, success_at=time.time())
    return ConfigReload(successful=False, success_at=0.0 if before is None else before.success_at)


def _first_snapshot(external_url: str, grafana_url: str) -> Snapshot:
    build = BuildInfo(
        version=starlight_exporter.__version__,
        revision=os.environ.get("STARLIGHT_REVISION", ""),
        python=platform.python_version(),
        onnxruntime=onnxruntime_version(),
        external_url=external_url,
        grafana_url=grafana_url,
    )
    return Snapshot(build=build, config=ConfigReload(successful=False, success_at=0.0))

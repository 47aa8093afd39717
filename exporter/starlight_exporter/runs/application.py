"""The wiring: configuration, schedule, watching, runs, and what becomes of their results."""

from __future__ import annotations

import os
import platform
import threading
import time
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import structlog

import starlight_exporter
from starlight_exporter.checks.baseline import Baseline, read_baseline
from starlight_exporter.config import Config, load_config
from starlight_exporter.errors import BaselineError, ConfigError
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.files import file_sha256_or_none
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.snapshot import BuildInfo, ConfigReload, Pair, Snapshot
from starlight_exporter.runs.analyses import Analyses
from starlight_exporter.runs.configured import (
    ConfiguredEvaluation,
    configured_evaluation,
    run_request,
    with_configuration,
)
from starlight_exporter.runs.discovery import discover, with_discovered
from starlight_exporter.runs.outcomes import Outcomes
from starlight_exporter.runs.reports import Reports
from starlight_exporter.runs.restoring import Provenances
from starlight_exporter.runs.results import with_baseline, with_restored
from starlight_exporter.runs.runner import Ended, Runner
from starlight_exporter.runs.scheduler import Scheduler, interval_seconds
from starlight_exporter.runs.state import State
from starlight_exporter.runs.storage import Storage
from starlight_exporter.runs.watcher import Watcher

_log = structlog.get_logger(__name__)

STORAGE_LOOK_SECONDS = 60.0
_ROLE_ORDER = {"production": 0, "baseline": 1, "research": 2}


class Application:
    """Everything of the exporter but HTTP: start it, ask it for evaluations, reload it, stop it."""

    def __init__(self, config_file: Path) -> None:
        """Raises ConfigError if the file is wrong; nothing is started or written yet."""
        self._config_file = config_file
        self._configured = self._config = load_config(config_file)
        self._baseline: Baseline | None = None
        self._reloading = threading.Lock()
        self._watching = threading.Lock()
        self.state = State(_first_snapshot())
        self._storage = Storage(self.state, self._config)
        self._outcomes = Outcomes(self.state, self._storage)
        self._scheduler = Scheduler()
        self._runner = Runner(self, order=self._order, timeout=lambda: self._config.limits.evaluation_timeout)
        self._analyses = Analyses(
            self.state,
            self._runner,
            config=lambda: self._config,
            request=self._request_if_settled,
            reports=Reports(self.state, config=lambda: self._config, evidence=lambda: self.evidence),
        )
        self._watcher = Watcher(settle=self._config.watch.settle, changed=self._file_changed)
        self._postponed: dict[Pair, str] = {}
        self._measured: ConfiguredEvaluation | None = None

    @property
    def config(self) -> Config:
        """The configuration in force, with the research models that were found."""
        return self._config

    @property
    def evidence(self) -> Evidence:
        """The predictions and pictures behind each result."""
        return self._storage.evidence

    def scraped(self) -> Snapshot:
        """The snapshot with what changes beside it: how many evaluations wait now."""
        return replace(self.state.snapshot, queued=self._runner.queued())

    def start(self) -> None:
        """Take the configuration into force, bring back what still holds, begin to watch and to evaluate."""
        self._storage.open()
        self._apply(self._with_research(self._configured))
        self._say_loaded()
        self._schedule(None)
        self._storage.look()
        self._scheduler.run_every("storage", STORAGE_LOOK_SECONDS, self._storage.look)
        self._scheduler.start()
        self._runner.start()
        threading.Thread(target=self._restore, name="restore", daemon=True).start()

    def stop(self) -> None:
        """Cancel the current run, end the schedule, close the history."""
        self._scheduler.stop()
        self._runner.stop()
        self._storage.close()

    def reload(self) -> None:
        """Read the configuration anew; ConfigError leaves everything as it was, and a metric says so."""
        with self._reloading:
            try:
                config = load_config(self._config_file)
            except ConfigError as error:
                self.state.update(lambda s: replace(s, config=replace(s.config, successful=False)))
                _log.error("configuration not reloaded", reason=str(error))
                raise
            with self._watching:
                before, self._configured = self._config, config
                config = self._with_research(config)
                self._apply(config)
            self._say_loaded()
            self._schedule(before)
            self._storage.move(config)
            _log.info("configuration reloaded", file=str(self._config_file))
            self._evaluate_changed(before, config, "reload")

    def evaluate(self, model: str | None, dataset: str | None, trigger: str) -> list[Pair]:
        """Queue all configured pairs of a model and a dataset (None: of all); returns them."""
        pairs = [p for p in self.state.snapshot.runs if model in (None, p[0]) and dataset in (None, p[1])]
        for pair in pairs:
            self._runner.submit(pair, trigger)
        return pairs

    def not_ready(self) -> str:
        """Why not every production model has a result on every dataset; empty when all have."""
        snapshot = self.state.snapshot
        missing = [
            f"{model} on {dataset}"
            for (model, dataset), run in snapshot.runs.items()
            if snapshot.models[model].role == "production" and run.evaluation is None
        ]
        if not any(model.role == "production" for model in snapshot.models.values()):
            return "no production model is configured"
        return f"no result yet: {', '.join(missing)}" if missing else ""

    # Configuration

    def _apply(self, config: Config) -> None:
        previous, self._config = self._config, config
        self._baseline = self._read_baseline()
        folder = self._config_file.parent.absolute()
        self.state.update(lambda s: with_configuration(s, config, previous, self._baseline, folder=folder))
        self._watch(config)
        for name, model in self.state.snapshot.models.items():
            # What is known of a file that is watched already changes when the watcher says so, and is evaluated then.
            if model.file_sha256 is None:
                self._model_seen(name)

    def _evaluate_changed(self, before: Config, config: Config, trigger: str) -> None:
        # Whatever is under way for a pair that is gone or means something else now, nobody wants any more.
        self._runner.cancel(lambda pair: configured_evaluation(before, pair) != configured_evaluation(config, pair))
        for pair in self.state.snapshot.runs:
            if configured_evaluation(before, pair) != configured_evaluation(config, pair):
                self._runner.submit(pair, trigger)

    def _say_loaded(self) -> None:
        self.state.update(lambda s: replace(s, config=ConfigReload(successful=True, success_at=time.time())))

    def _with_research(self, config: Config) -> Config:
        if config.research is not None:
            # Watched before it is looked at, so that nothing arrives in between.
            self._watcher.watch_models("research", config.research.models_dir)
        found = discover(config)
        for remark in found.remarks:
            _log.warning("research models", remark=remark)
        return with_discovered(config, found)

    def _research_changed(self) -> None:
        before, config = self._config, self._with_research(self._configured)
        names, known = ({model.name for model in one.models} for one in (config, before))
        if config.models == before.models:
            return
        _log.info("research models changed", arrived=sorted(names - known), gone=sorted(known - names))
        for model in config.models:
            if model.name not in known:
                # Its folder is there, which does not say that the file in it is complete.
                self._watcher.watch_arrival(f"model {model.name}", model.file)
        self._apply(config)
        self._evaluate_changed(before, config, "model")
        if known - names:
            self._analyses.after_change_of_models()

    def _schedule(self, before: Config | None) -> None:
        config = self._config
        # An interval begins anew whenever it is set, so one that has not changed is left alone.
        if before is None or before.schedule != config.schedule:
            self._scheduler.run_by("evaluate", config.schedule, self._scheduled)
        if before is None or before.analyses.interval != config.analyses.interval:
            self._scheduler.run_every("analyses", config.analyses.interval, self._analyses.all_again)
        if before is None or before.watch.interval != config.watch.interval:
            self._scheduler.run_every("watch", config.watch.interval, self._look_at_files)

    def _read_baseline(self) -> Baseline | None:
        if self._config.baseline is None:
            return None
        try:
            return read_baseline(self._config.baseline)
        except BaselineError as error:
            _log.warning("no baseline", reason=str(error))
            return None

    def _order(self, pair: Pair) -> int:
        model = self.state.snapshot.models.get(pair[0])
        return _ROLE_ORDER[model.role] if model is not None else len(_ROLE_ORDER)

    # Watching

    def _watch(self, config: Config) -> None:
        models = {f"model {model.name}": model.file for model in config.models}
        datasets = {f"dataset {dataset.name}": dataset.path for dataset in config.datasets}
        baseline = {} if config.baseline is None else {"baseline": config.baseline}
        self._watcher.settle = config.watch.settle
        for key, file in (models | baseline).items():
            self._watcher.watch_file(key, file)
        for key, root in datasets.items():
            self._watcher.watch_tree(key, root)
        research = set() if config.research is None else {"research"}
        self._watcher.keep_only({*models, *datasets, *baseline, *research})

    def _look_at_files(self) -> None:
        with self._watching:
            self._watcher.poll()

    def _file_changed(self, key: str) -> None:
        kind, _, name = key.partition(" ")
        if kind == "model":
            self._model_changed(name)
        elif kind == "dataset":
            _log.info("dataset changed", dataset=name)
            self._runner.cancel(lambda pair: pair[1] == name)
            self.evaluate(None, name, "dataset")
        elif kind == "research":
            self._research_changed()
        else:
            self._baseline = self._read_baseline()
            self.state.update(lambda s: with_baseline(s, self._baseline))
            _log.info("baseline read anew", found=self._baseline is not None)

    def _model_changed(self, name: str) -> None:
        before = self.state.snapshot.models[name].file_sha256
        now = self._model_seen(name)
        postponed = {pair: self._postponed.pop(pair) for pair in list(self._postponed) if pair[0] == name}
        if now is None:
            self._outcomes.load_failed(
                name, "missing", f"{self.state.snapshot.models[name].file}: no such file or not readable"
            )
            self._analyses.after_change_of_models()
            return
        for pair, trigger in postponed.items():
            self._runner.submit(pair, trigger)
        if now != before:
            _log.info("model changed", model=name, sha256=now[:12])
            self._runner.cancel(lambda pair: pair[0] == name)
        for pair, run in self.state.snapshot.runs.items():
            if pair[0] == name and (run.evaluation is None or run.evaluation.provenance.model_sha256 != now):
                self._runner.submit(pair, "model")

    def _model_seen(self, name: str) -> str | None:
        """Hash the file as it is now and remember it; a file whose numbers are shown already counts as loaded."""
        model = self.state.snapshot.models[name]
        entry = self._config.model(name)
        sha256 = None if entry is None else file_sha256_or_none(entry.file)
        loaded = True if sha256 is not None and sha256 == model.sha256 else model.last_load_successful
        self.state.update(
            lambda s: s.with_model(replace(s.models[name], file_sha256=sha256, last_load_successful=loaded))
        )
        return sha256

    # Runs (called by the runner)

    def _scheduled(self) -> None:
        self.evaluate(None, None, "schedule")

    def request(self, pair: Pair, trigger: str) -> RunRequest | None:
        """The run of a pair as it is configured now; None if it no longer is, or its model is being written."""
        with self._watching:
            config = self._config
            self._measured = configured_evaluation(config, pair)
            if self._measured is None:
                return None
            if self._watcher.unsettled(f"model {pair[0]}"):
                # Asked again once the file is complete.
                self._postponed[pair] = trigger
                return None
        return run_request(config, pair, trigger)

    def _request_if_settled(self, pair: Pair, trigger: str) -> RunRequest | None:
        """The same for an analysis, which is asked for anew with the result of a file that is complete."""
        with self._watching:
            config = self._config
            if self._watcher.unsettled(f"model {pair[0]}"):
                return None
        return run_request(config, pair, trigger)

    def started(self, pair: Pair) -> None:
        """Show that a run is under way."""
        self._outcomes.started(pair)

    def progressed(self, pair: Pair, ratio: float) -> None:
        """Show how far it is."""
        self._outcomes.progressed(pair, ratio)

    def ended(self, run: Ended) -> None:
        """Publish how it ended, and work out what follows from a result."""
        measured = self._measured
        if self._outcomes.ended(
            run, self._baseline, holds=lambda: configured_evaluation(self._config, run.pair) == measured
        ):
            self._analyses.after(run.pair)
        else:
            self._analyses.after_change_of_models()

    # Restart

    def _restore(self) -> None:
        """Show stored results whose whole provenance still holds; evaluate everything else now, and what is overdue."""
        interval = interval_seconds(self._config.schedule)
        stored = self._storage.latest(self.state.snapshot.runs)
        provenances = Provenances(self._runner)
        for pair in sorted(self.state.snapshot.runs, key=self._order):
            evaluation = stored.get(pair)
            if evaluation is not None and provenances.hold(evaluation, pair, self._config, self.state.snapshot):
                self.state.update(lambda s, p=pair, e=evaluation: with_restored(s, p, e, self._baseline))  # type: ignore[misc]
                _log.info("result restored", model=pair[0], dataset=pair[1], evaluation=evaluation.id)
                if time.time() - evaluation.finished_at < interval:
                    continue
            self._runner.submit(pair, "start")
        for dataset in {pair[1] for pair in stored}:
            self._outcomes.compare(dataset, self._baseline)
        for pair in stored:
            self._analyses.after(pair)


def _first_snapshot() -> Snapshot:
    build = BuildInfo(
        version=starlight_exporter.__version__,
        revision=os.environ.get("STARLIGHT_REVISION", ""),
        python=platform.python_version(),
        onnxruntime=metadata.version("onnxruntime"),
    )
    return Snapshot(build=build, config=ConfigReload(successful=False, success_at=0.0))

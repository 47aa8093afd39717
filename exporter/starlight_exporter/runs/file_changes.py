"""Reactions to changed files: models, datasets, the folder of research models and the baseline."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial

import structlog

from starlight_exporter.config import Config
from starlight_exporter.files import file_sha256_or_none
from starlight_exporter.publish.snapshot import Pair
from starlight_exporter.runs.analyses import Analyses
from starlight_exporter.runs.configuration import ActiveConfiguration, configured_evaluation
from starlight_exporter.runs.discovery import discover, with_discovered
from starlight_exporter.runs.pipeline import Pipeline
from starlight_exporter.runs.runner import Runner
from starlight_exporter.runs.snapshot_updates import with_configuration, with_recorded_baseline
from starlight_exporter.runs.state import State
from starlight_exporter.runs.watcher import Watcher

_log = structlog.get_logger(__name__)


class FileChanges:
    """Activates configurations, watches their files, and queues the evaluations that a change requires."""

    def __init__(
        self,
        *,
        config: ActiveConfiguration,
        state: State,
        pipeline: Pipeline,
        runner: Runner,
        analyses: Analyses,
        watcher: Watcher,
    ) -> None:
        self._config = config
        self._state = state
        self._pipeline = pipeline
        self._runner = runner
        self._analyses = analyses
        self._watcher = watcher
        self._lock = threading.Lock()
        self._postponed: dict[Pair, str] = {}

    def activate(self) -> None:
        """Activate the loaded configuration: discover research models, update the snapshot, watch the files."""
        with self._lock:
            self._activate(self._with_research(self._config.loaded))

    def evaluate_changed(self, before: Config, trigger: str) -> None:
        """Queue the pairs that differ from an earlier configuration, and cancel a run that no longer applies."""
        current = self._config.current

        def changed(pair: Pair) -> bool:
            return configured_evaluation(before, pair) != configured_evaluation(current, pair)

        self._runner.cancel(changed)
        for pair in filter(changed, self._state.snapshot.runs):
            self._runner.submit(pair, trigger)

    def poll(self) -> None:
        """Check all files and react to the changes that have settled."""
        with self._lock:
            self._watcher.poll(self._changed)

    def postpone(self, pair: Pair, trigger: str) -> bool:
        """Return whether the model file of a pair is still being written. The run is queued once it is complete."""
        with self._lock:
            if not self._watcher.is_unsettled(f"model {pair[0]}"):
                return False
            self._postponed[pair] = trigger
            return True

    def _changed(self, key: str) -> None:
        kind, _, name = key.partition(" ")
        match kind:
            case "model":
                self._model_changed(name)
            case "dataset":
                self._dataset_changed(name)
            case "research":
                self._research_changed()
            case _:
                self._baseline_changed()

    def _activate(self, config: Config) -> None:
        previous, self._config.current = self._config.current, config
        self._pipeline.apply(
            partial(
                with_configuration,
                config=config,
                previous=previous,
                baseline=self._config.baseline(),
                folder=self._config.folder,
            )
        )
        self._watch(config)
        for name, model in self._state.snapshot.models.items():
            # A later change of a known file is reported by the watcher.
            if model.file_sha256 is None:
                self._update_hash(name)

    def _with_research(self, config: Config) -> Config:
        if config.research is not None:
            # Watch before the discovery, so that no change in between is missed.
            self._watcher.watch_models("research", config.research.models_dir)
        found = discover(config)
        for warning in found.warnings:
            _log.warning("research models", reason=warning)
        return with_discovered(config, found)

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

    def _model_changed(self, name: str) -> None:
        before = self._state.snapshot.models[name].file_sha256
        now = self._update_hash(name)
        postponed = {pair: self._postponed.pop(pair) for pair in list(self._postponed) if pair[0] == name}
        if now is None:
            file = self._state.snapshot.models[name].file
            self._pipeline.load_failed(name, "missing", f"{file}: no such file or not readable")
            self._analyses.after_model_change()
            return
        for pair, trigger in postponed.items():
            self._runner.submit(pair, trigger)
        if now != before:
            _log.info("model changed", model=name, sha256=now[:12])
            self._runner.cancel(lambda pair: pair[0] == name)
        for pair, run in self._state.snapshot.runs.items():
            if pair[0] == name and (run.evaluation is None or run.evaluation.provenance.model_sha256 != now):
                self._runner.submit(pair, "model")

    def _dataset_changed(self, name: str) -> None:
        _log.info("dataset changed", dataset=name)
        self._runner.cancel(lambda pair: pair[1] == name)
        for pair in self._state.snapshot.runs:
            if pair[1] == name:
                self._runner.submit(pair, "dataset")

    def _research_changed(self) -> None:
        before, config = self._config.current, self._with_research(self._config.loaded)
        if config.models == before.models:
            return
        names, known = ({model.name for model in one.models} for one in (config, before))
        _log.info("research models changed", added=sorted(names - known), removed=sorted(known - names))
        for model in config.models:
            if model.name not in known:
                # The file may still be written.
                self._watcher.watch_new_file(f"model {model.name}", model.file)
        self._activate(config)
        self.evaluate_changed(before, "model")
        if known - names:
            self._analyses.after_model_change()

    def _baseline_changed(self) -> None:
        baseline = self._config.baseline()
        self._pipeline.apply(partial(with_recorded_baseline, baseline=baseline))
        _log.info("baseline reloaded", valid=baseline is not None)

    def _update_hash(self, name: str) -> str | None:
        """Hash the model file and publish the hash. A file whose result is displayed already counts as loaded."""
        model = self._state.snapshot.models[name]
        entry = self._config.current.model(name)
        sha256 = None if entry is None else file_sha256_or_none(entry.file)
        loaded = True if sha256 is not None and sha256 == model.sha256 else model.last_load_successful
        self._state.update(
            lambda s: s.with_model(replace(s.models[name], file_sha256=sha256, last_load_successful=loaded))
        )
        return sha256

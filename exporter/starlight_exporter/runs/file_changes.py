"""Reactions to changed files: models, datasets, the folder of research models, the baseline and the configuration."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import structlog

from starlight_exporter.checks.baseline import Baseline
from starlight_exporter.config import Config
from starlight_exporter.detector.model_file import model_sha256
from starlight_exporter.errors import ModelError
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.publish.snapshot import Pair, Snapshot
from starlight_exporter.runs.analyses import Analyses
from starlight_exporter.runs.configuration import ActiveConfiguration, configured_evaluation
from starlight_exporter.runs.discovery import discover, with_discovered
from starlight_exporter.runs.pipeline import Pipeline
from starlight_exporter.runs.remote_listings import INTERVALS
from starlight_exporter.runs.runner import Runner
from starlight_exporter.runs.snapshot_updates import with_configuration, with_recorded_baseline, without_quarantine
from starlight_exporter.runs.state import State
from starlight_exporter.runs.watcher import Watcher

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ReadConfiguration:
    """A configuration with everything that its activation needs from files. `current` has the discovered models.

    It can be activated while no other one is: `activation` is the number of activations before it was read.
    """

    loaded: Config
    current: Config
    baseline: Baseline | None
    activation: int


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
        dataset_changed: Callable[[str], None],
        config_changed: Callable[[], None] | None = None,
    ) -> None:
        """Without `config_changed`, the configuration file is not watched."""
        self._config = config
        self._state = state
        self._pipeline = pipeline
        self._runner = runner
        self._analyses = analyses
        self._watcher = watcher
        self._dataset_changed = dataset_changed
        self._config_changed = config_changed
        # Untrusted files are read without this lock: one that does not respond must not block other changes.
        self._activating = threading.Lock()
        self._activations = 0
        self._postponing = threading.Lock()
        self._postponed: dict[Pair, str] = {}

    def read(self, loaded: Config, *, may_be_written: bool = False) -> ReadConfiguration:
        """Watch the files of a configuration, discover its research models and read its baseline. Call it unlocked.

        With `may_be_written`, models that are not known yet are used once they have settled.
        """
        with self._activating:
            activation, known = self._activations, {model.name for model in self._config.current.models}
        if loaded.research is not None:
            # Watch before the discovery, so that no change in between is missed.
            self._watcher.watch_models("research", loaded.research.models_dir)
        found = discover(loaded)
        for warning in found.warnings:
            _log.warning("research models", reason=warning)
        current = with_discovered(loaded, found)
        for model in current.models if may_be_written else ():
            if model.name not in known:
                self._watcher.watch_new_file(f"model {model.name}", model.file)
        self._watch(current)
        return ReadConfiguration(loaded, current, self._config.baseline(current), activation)

    def activate(self, read: ReadConfiguration) -> bool:
        """Activate a configuration: update the snapshot. Only stored results are read.

        Return False if another one was activated since it was read; then it must be read again.
        """
        with self._activating:
            if not self._claim_activation(read):
                return False
            self._config.loaded = read.loaded
            previous, self._config.current = self._config.current, read.current
            self._pipeline.apply(
                partial(
                    with_configuration,
                    config=read.current,
                    previous=previous,
                    baseline=read.baseline,
                    folder=self._config.folder,
                )
            )
            self._watcher.settle = read.current.watch.settle
            self._watcher.listings.interval = INTERVALS * read.current.watch.interval
            self._watcher.keep_only(_watched_files(read.current) | {"configuration"})
            return True

    def watch_current(self) -> None:
        """Watch the files of the active configuration, after another one was read but not activated."""
        self._watch(self._config.current)

    def hash_new_models(self) -> None:
        """Hash the model files without a known hash. A later change of a known file is reported by the watcher."""
        for name, model in self._state.snapshot.models.items():
            if model.file_sha256 is None:
                # The evaluation that follows reports the reason.
                with suppress(ModelError):
                    self._update_hash(name)

    def end_quarantines(self) -> None:
        """End all quarantines, and queue the models that were not evaluated because of them."""
        quarantined = {model.name for model in self._state.snapshot.models.values() if model.quarantine is not None}
        self._state.update(lambda s: without_quarantine(s, None))
        for pair in self._state.snapshot.runs:
            if pair[0] in quarantined:
                self._runner.submit(pair, "reload")

    def evaluate_changed(self, before: Config, trigger: str) -> None:
        """Queue the pairs that differ from an earlier configuration, and cancel a run that no longer applies."""
        current = self._config.current

        def changed(pair: Pair) -> bool:
            return configured_evaluation(before, pair) != configured_evaluation(current, pair)

        self._runner.cancel(changed)
        for pair in filter(changed, self._state.snapshot.runs):
            self._runner.submit(pair, trigger)

    def poll_datasets(self) -> None:
        """Check the folders of datasets, which takes long if there are many files; otherwise like `poll`."""
        self._poll(trees=True)

    def poll(self) -> None:
        """Check all other files and react to the changes that have settled."""
        self._poll(trees=False)

    def _poll(self, *, trees: bool) -> None:
        for key in self._watcher.poll(trees=trees):
            try:
                self._changed(key)
            except Exception:  # noqa: BLE001  # one change must not hide the others: each is reported once
                _log.exception("unexpected error after a change", key=key)

    def postpone(self, pair: Pair, trigger: str) -> bool:
        """Return whether the model file of a pair is still being written. The run is queued once it is complete."""
        if not self._watcher.is_unsettled(f"model {pair[0]}"):
            return False
        with self._postponing:
            self._postponed[pair] = trigger
        return True

    def is_outdated(self, evaluation: Evaluation) -> bool:
        """Return whether a result is of another model file than the one that is in place now."""
        model = self._state.snapshot.models.get(evaluation.model)
        if model is None or model.file_sha256 == evaluation.provenance.model_sha256:
            return False
        try:
            return self._update_hash(evaluation.model) not in (None, evaluation.provenance.model_sha256)
        except ModelError:
            # The watcher reports it.
            return False

    def _changed(self, key: str) -> None:
        kind, _, name = key.partition(" ")
        match kind:
            case "model":
                self._model_changed(name)
            case "dataset":
                self._dataset_changed(name)
            case "research":
                self._research_changed()
            case "configuration" if self._config_changed is not None:
                self._config_changed()
            case _:
                self._baseline_changed()

    def _claim_activation(self, read: ReadConfiguration) -> bool:
        """Count an activation; return False if there was another one since a configuration was read."""
        newest = read.activation == self._activations
        self._activations += newest
        return newest

    def _watch(self, config: Config) -> None:
        if self._config_changed is not None:
            self._watcher.watch_file("configuration", self._config.file)
        for model in config.models:
            self._watcher.watch_file(f"model {model.name}", model.file)
        for dataset in config.datasets:
            self._watcher.watch_tree(f"dataset {dataset.name}", dataset.path)
        if config.baseline is not None:
            self._watcher.watch_file("baseline", config.baseline)
        if config.research is not None:
            self._watcher.watch_models("research", config.research.models_dir)

    def _model_changed(self, name: str) -> None:
        model = self._state.snapshot.models.get(name)
        if model is None:
            return
        before = model.file_sha256
        try:
            now = self._update_hash(name)
        except ModelError as error:
            self._take_postponed(name)
            self._pipeline.load_failed(name, error.reason, str(error))
            self._analyses.after_model_change()
            return
        for pair, trigger in self._take_postponed(name).items():
            self._runner.submit(pair, trigger)
        if now is not None and now != before:
            _log.info("model changed", model=name, sha256=now[:12])
            self._runner.cancel_replaced(name)
            if model.role == "baseline":
                self._pipeline.baseline_file_changed()
        for pair, run in self._state.snapshot.runs.items():
            if pair[0] == name and (run.evaluation is None or run.evaluation.provenance.model_sha256 != now):
                self._runner.submit(pair, "model")

    def _take_postponed(self, name: str) -> dict[Pair, str]:
        with self._postponing:
            return {pair: self._postponed.pop(pair) for pair in list(self._postponed) if pair[0] == name}

    def _research_changed(self) -> None:
        while True:
            before = self._config.current
            read = self.read(self._config.loaded, may_be_written=True)
            if read.current.models == before.models:
                with self._activating:
                    if self._claim_activation(read):
                        return
            elif self.activate(read):
                break
        config = read.current
        names, known = ({model.name for model in one.models} for one in (config, before))
        _log.info("research models changed", added=sorted(names - known), removed=sorted(known - names))
        self.hash_new_models()
        self.evaluate_changed(before, "model")
        if known - names:
            self._analyses.after_model_change()

    def _baseline_changed(self) -> None:
        config = self._config.current
        baseline = self._config.baseline(config)
        with self._activating:
            # Another file is read with the configuration that names it.
            if self._config.current.baseline == config.baseline:
                self._pipeline.apply(partial(with_recorded_baseline, baseline=baseline))
        _log.info("baseline reloaded", valid=baseline is not None)

    def _update_hash(self, name: str) -> str | None:
        """Hash the model file and publish the hash; None if the model was removed. Raises ModelError.

        A file whose result is displayed already counts as loaded.
        """
        entry = self._config.current.model(name)
        if entry is None:
            return None
        try:
            sha256 = model_sha256(entry.file)
        except ModelError:
            self._state.update(partial(_with_file, name=name, sha256=None))
            raise
        self._state.update(partial(_with_file, name=name, sha256=sha256))
        return sha256


def _watched_files(config: Config) -> set[str]:
    """Return the keys of the files of a configuration."""
    return {
        *(f"model {model.name}" for model in config.models),
        *(f"dataset {dataset.name}" for dataset in config.datasets),
        *(() if config.baseline is None else ("baseline",)),
        *(() if config.research is None else ("research",)),
    }


def _with_file(old: Snapshot, *, name: str, sha256: str | None) -> Snapshot:
    model = old.models.get(name)
    if model is None:
        return old
    loaded = True if sha256 is not None and sha256 == model.sha256 else model.last_load_successful
    quarantine = None if model.quarantine is None or model.quarantine.sha256 != sha256 else model.quarantine
    return old.with_model(replace(model, file_sha256=sha256, last_load_successful=loaded, quarantine=quarantine))

"""The wiring: configuration, schedule, watching, runs, and what becomes of their results."""

from __future__ import annotations

import hashlib
import platform
import shutil
import threading
import time
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import structlog

import exporter
from exporter.config import Config, ModelConfig, load_config
from exporter.errors import BaselineError, ConfigError, ModelError, ModelFailureReason, StarlightError, StorageError
from exporter.evaluation.baseline import Baseline, read_baseline
from exporter.evaluation.evaluation import Evaluation, RunResult
from exporter.evaluation.regression import check
from exporter.evaluation.request import RunLimits, RunRequest, available_cores
from exporter.publish.evidence import Evidence
from exporter.publish.history import History, still_holds
from exporter.publish.snapshot import (
    BuildInfo,
    ConfigReload,
    DatasetState,
    ModelState,
    Pair,
    RunState,
    Snapshot,
    Store,
)
from exporter.service import worker
from exporter.service.runner import Ended, Runner, keep_thumbnails
from exporter.service.scheduler import Scheduler, interval_seconds
from exporter.service.state import RunRecord, State
from exporter.service.watcher import Watcher

_log = structlog.get_logger(__name__)

STORAGE_LOOK_SECONDS = 60.0
SCAN_SECONDS = 600.0
_ROLE_ORDER = {"production": 0, "baseline": 1, "research": 2}


class Application:
    """Everything of the exporter but HTTP: start it, ask it for evaluations, reload it, stop it."""

    def __init__(self, config_file: Path) -> None:
        """Raises ConfigError if the file is wrong; nothing is started or written yet."""
        self._config_file = config_file
        self._config = load_config(config_file)
        self._baseline: Baseline | None = None
        self._reloading = threading.Lock()
        self._watching = threading.Lock()
        self.state = State(_first_snapshot())
        self.history = History(
            self._config.paths.data / "history.jsonl",
            max_bytes=self._config.history.max_bytes,
            keep=self._config.history.keep,
        )
        self.evidence = Evidence(self._config.paths.results, keep=self._config.evidence.keep)
        self._scheduler = Scheduler()
        self._runner = Runner(self, order=self._order, timeout=lambda: self._config.limits.evaluation_timeout)
        self._watcher: Watcher | None = None

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._config

    def start(self) -> None:
        """Take the configuration into force, bring back what still holds, begin to watch and to evaluate."""
        try:
            self.history.open()
        except StorageError as error:
            self._storage_failed("history", error)
        self._apply(self._config)
        self._look_at_storage()
        self._scheduler.every("storage", STORAGE_LOOK_SECONDS, self._look_at_storage)
        self._scheduler.start()
        self._runner.start()
        threading.Thread(target=self._restore, name="restore", daemon=True).start()

    def stop(self) -> None:
        """Cancel the current run, end the schedule, close the history."""
        self._scheduler.stop()
        self._runner.stop()
        self.history.close()

    def reload(self) -> None:
        """Read the configuration anew; ConfigError leaves everything as it was, and a metric says so."""
        with self._reloading:
            try:
                config = load_config(self._config_file)
            except ConfigError as error:
                self.state.update(lambda s: replace(s, config=replace(s.config, successful=False)))
                _log.error("configuration not reloaded", reason=str(error))
                raise
            known = set(self.state.snapshot.runs)
            self._apply(config)
            _log.info("configuration reloaded", file=str(self._config_file))
            for pair in self.state.snapshot.runs:
                if pair not in known:
                    self._runner.submit(pair, "reload")

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
        self._config = config
        self._baseline = self._read_baseline()
        interval = interval_seconds(config.schedule)

        def change(old: Snapshot) -> Snapshot:
            models = {entry.name: self._model_state(entry, old) for entry in config.models}
            datasets = {entry.name: old.datasets.get(entry.name, DatasetState(entry.name)) for entry in config.datasets}
            runs = {}
            for entry in config.models:
                for dataset in config.datasets:
                    pair = (entry.name, dataset.name)
                    run = old.runs.get(pair, RunState())
                    if run.evaluation is not None and run.evaluation.provenance.decision != models[entry.name].decision:
                        # Another rule makes another model: the old verdicts are not its.
                        run = RunState()
                    runs[pair] = self._checked(replace(run, interval_seconds=interval))
            return replace(
                old,
                config=ConfigReload(successful=True, success_at=time.time()),
                models=models,
                datasets=datasets,
                runs=runs,
            )

        self.state.update(change)
        self._scheduler.by("evaluate", config.schedule, self._scheduled)
        with self._watching:
            self._watcher = self._make_watcher(config)
        for entry in config.models:
            self._model_seen(entry.name)
        self._scheduler.every("watch", config.watch.interval, self._look_at_files)

    def _model_state(self, entry: ModelConfig, old: Snapshot) -> ModelState:
        fresh = ModelState(
            name=entry.name,
            role=entry.role,
            file=str(entry.file),
            decision=entry.decision.rule().describe(),
            baseline=self._baseline,
        )
        before = old.models.get(entry.name)
        if before is None or (before.file, before.decision) != (fresh.file, fresh.decision):
            return fresh
        return replace(before, role=entry.role, baseline=self._baseline)

    def _read_baseline(self) -> Baseline | None:
        if self._config.baseline is None:
            return None
        try:
            return read_baseline(self._config.baseline)
        except BaselineError as error:
            _log.warning("no baseline", reason=str(error))
            return None

    def _checked(self, run: RunState) -> RunState:
        if run.evaluation is None:
            return run
        return replace(run, checks=check(run.evaluation, self._baseline))

    def _order(self, pair: Pair) -> int:
        model = self.state.snapshot.models.get(pair[0])
        return _ROLE_ORDER[model.role] if model is not None else len(_ROLE_ORDER)

    # Watching

    def _make_watcher(self, config: Config) -> Watcher:
        watcher = Watcher(settle=config.watch.settle, changed=self._file_changed)
        for model in config.models:
            watcher.watch_file(f"model {model.name}", model.file)
        for dataset in config.datasets:
            watcher.watch_tree(f"dataset {dataset.name}", dataset.path)
        if config.baseline is not None:
            watcher.watch_file("baseline", config.baseline)
        return watcher

    def _look_at_files(self) -> None:
        with self._watching:
            if self._watcher is not None:
                self._watcher.poll()

    def _file_changed(self, key: str) -> None:
        kind, _, name = key.partition(" ")
        if kind == "model":
            self._model_changed(name)
        elif kind == "dataset":
            _log.info("dataset changed", dataset=name)
            self._runner.cancel(lambda pair: pair[1] == name)
            self.evaluate(None, name, "dataset")
        else:
            self._baseline = self._read_baseline()
            self.state.update(self._with_baseline)
            _log.info("baseline read anew", found=self._baseline is not None)

    def _with_baseline(self, old: Snapshot) -> Snapshot:
        models = {name: replace(model, baseline=self._baseline) for name, model in old.models.items()}
        return replace(old, models=models, runs={pair: self._checked(run) for pair, run in old.runs.items()})

    def _model_changed(self, name: str) -> None:
        before = self.state.snapshot.models[name].file_sha256
        now = self._model_seen(name)
        if now is None:
            self._load_failed(name, "missing", f"{self.state.snapshot.models[name].file}: no such file or not readable")
        elif now != before:
            _log.info("model changed", model=name, sha256=now[:12])
            self._runner.cancel(lambda pair: pair[0] == name)
            snapshot = self.state.snapshot
            for pair, run in snapshot.runs.items():
                if pair[0] == name and (run.evaluation is None or run.evaluation.provenance.model_sha256 != now):
                    self._runner.submit(pair, "model")

    def _model_seen(self, name: str) -> str | None:
        """Hash the file as it is now and remember it; a file whose numbers are shown already counts as loaded."""
        model = self.state.snapshot.models[name]
        sha256 = _sha256(Path(model.file))
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
        model, dataset = self._config.model(pair[0]), self._config.dataset(pair[1])
        if model is None or dataset is None:
            return None
        watcher = self._watcher
        if watcher is not None and watcher.unsettled(f"model {model.name}"):
            # The watcher asks again once the file is complete.
            return None
        limits = self._config.limits
        beside = model.file.with_name("training_log.jsonl")
        return RunRequest(
            model=model.name,
            role=model.role,
            model_path=model.file,
            decision=model.decision.rule(),
            dataset=dataset.name,
            dataset_root=dataset.path,
            trigger=trigger,
            training_log=model.training_log or (beside if beside.exists() else None),
            limits=RunLimits(
                image_seconds=limits.image_timeout,
                max_file_bytes=limits.max_file_bytes,
                max_pixels=limits.max_image_pixels,
            ),
            latency_sample=self._config.latency.sample,
            seed=self._config.latency.seed,
            threads=limits.threads or available_cores(),
        )

    def started(self, pair: Pair) -> None:
        """Show that a run is under way."""
        _log.info("evaluation started", model=pair[0], dataset=pair[1])
        self._update_run(pair, in_progress=True, progress=0.0)

    def progressed(self, pair: Pair, ratio: float) -> None:
        """Show how far it is."""
        self._update_run(pair, progress=ratio)

    def ended(self, run: Ended) -> None:
        """Publish a result, or count and tell why there is none; the old numbers stay in that case."""
        self._update_run(run.pair, in_progress=False, progress=None)
        known = self.state.snapshot.runs.get(run.pair)
        if known is None:
            return
        good = run.outcome == "success"
        outcomes = {**known.outcomes, run.outcome: known.outcomes.get(run.outcome, 0) + 1}
        successful = known.last_run_successful if run.outcome == "cancelled" else good
        self._update_run(run.pair, outcomes=outcomes, last_run_successful=successful)
        if run.result is not None:
            self._publish(run.pair, run.result)
            self._keep(run, run.result)
        elif isinstance(run.failure, ModelError):
            self._load_failed(run.pair[0], run.failure.reason, run.error)
        self.state.record(
            RunRecord(
                id=run.result.evaluation.id if run.result is not None else "",
                model=run.pair[0],
                dataset=run.pair[1],
                trigger=run.trigger,
                outcome=run.outcome,
                started_at=run.started_at,
                ended_at=run.ended_at,
                error=run.error,
            )
        )
        tell = _log.info if run.outcome in ("success", "cancelled") else _log.error
        tell(
            "evaluation ended",
            model=run.pair[0],
            dataset=run.pair[1],
            outcome=run.outcome,
            seconds=round(run.ended_at - run.started_at, 1),
            **({"reason": run.error} if run.error else {}),
        )

    def _publish(self, pair: Pair, result: RunResult) -> None:
        for warning in result.warnings:
            _log.warning("evaluation warning", model=pair[0], dataset=pair[1], reason=warning)
        self.state.update(lambda s: self._with_evaluation(s, pair, result.evaluation))
        if result.latency is not None:
            observations = result.latency
            self.state.update(
                lambda s: s.with_model(replace(s.models[pair[0]], latency=s.models[pair[0]].latency.add(observations)))
            )

    def _with_evaluation(self, old: Snapshot, pair: Pair, evaluation: Evaluation) -> Snapshot:
        facts = evaluation.model_facts
        model = replace(
            old.models[pair[0]],
            sha256=evaluation.provenance.model_sha256,
            size_bytes=facts.size_bytes,
            modified_at=facts.modified_at,
            loaded_at=facts.loaded_at,
            last_load_successful=True,
        )
        before = old.runs[pair].evaluation
        fingerprint = evaluation.provenance.dataset_fingerprint
        dataset = old.datasets[pair[1]]
        if before is not None and before.provenance.dataset_fingerprint != fingerprint:
            dataset = replace(dataset, changed_at=evaluation.started_at)
        run = self._checked(replace(old.runs[pair], evaluation=evaluation))
        return old.with_model(model).with_dataset(dataset).with_run(*pair, run)

    def _keep(self, run: Ended, result: RunResult) -> None:
        try:
            self.history.append(result.evaluation)
        except StorageError as error:
            self._storage_failed("history", error)
        try:
            folder = self.evidence.store(result.evaluation, result.predictions)
            if run.thumbnails is not None:
                keep_thumbnails(run.thumbnails, folder)
        except (StorageError, OSError) as error:
            self._storage_failed("evidence", error)

    def _load_failed(self, name: str, reason: ModelFailureReason, text: str) -> None:
        _log.error("model not loaded", model=name, reason=reason, detail=text)

        def change(old: Snapshot) -> Snapshot:
            model = old.models.get(name)
            if model is None:
                return old
            failures = {**model.load_failures, reason: model.load_failures.get(reason, 0) + 1}
            return old.with_model(replace(model, load_failures=failures, last_load_successful=False))

        self.state.update(change)

    def _update_run(self, pair: Pair, **changes: object) -> None:
        def change(old: Snapshot) -> Snapshot:
            run = old.runs.get(pair)
            return old if run is None else old.with_run(*pair, replace(run, **changes))  # type: ignore[arg-type]

        self.state.update(change)

    # Storage and restart

    def _restore(self) -> None:
        """Show stored results whose whole provenance still holds; everything else is evaluated now."""
        stored: dict[Pair, Evaluation] = {}
        try:
            latest = self.history.load_latest(set(self.state.snapshot.runs))
            stored = latest.evaluations
            self.state.update(lambda s: replace(s, history_damaged_lines=latest.damaged_lines))
        except StorageError as error:
            self._storage_failed("history", error)
        fingerprints: dict[str, str | None] = {}
        for pair in sorted(self.state.snapshot.runs, key=self._order):
            evaluation = stored.get(pair)
            if evaluation is not None and self._still_holds(evaluation, pair, fingerprints):
                self.state.update(lambda s, p=pair, e=evaluation: self._with_evaluation(s, p, e))  # type: ignore[misc]
                _log.info("result restored", model=pair[0], dataset=pair[1], evaluation=evaluation.id)
            else:
                self._runner.submit(pair, "start")

    def _still_holds(self, evaluation: Evaluation, pair: Pair, fingerprints: dict[str, str | None]) -> bool:
        model, dataset = self._config.model(pair[0]), self._config.dataset(pair[1])
        sha256 = self.state.snapshot.models[pair[0]].file_sha256
        if model is None or dataset is None or sha256 is None:
            return False
        if dataset.name not in fingerprints:
            fingerprints[dataset.name] = self._fingerprint(dataset.name, dataset.path)
        fingerprint = fingerprints[dataset.name]
        return fingerprint is not None and still_holds(
            evaluation,
            model_sha256=sha256,
            dataset_fingerprint=fingerprint,
            decision=model.decision.rule().describe(),
            exporter_version=exporter.__version__,
        )

    def _fingerprint(self, name: str, root: Path) -> str | None:
        try:
            return self._runner.call(worker.fingerprint, name, root, timeout=SCAN_SECONDS)
        except (StarlightError, TimeoutError, RuntimeError) as error:
            # The run that follows tells the same, with its outcome counted.
            _log.warning("dataset not scanned", dataset=name, reason=str(error))
            return None

    def _look_at_storage(self) -> None:
        folders: dict[Store, Path] = {"history": self._config.paths.data, "evidence": self._config.paths.results}
        free: dict[Store, int] = {}
        for store, folder in folders.items():
            place = next((p for p in (folder, *folder.parents) if p.exists()), None)
            if place is not None:
                free[store] = shutil.disk_usage(place).free
        self.state.update(lambda s: replace(s, storage_free_bytes=free))

    def _storage_failed(self, store: Store, error: Exception) -> None:
        _log.error("result not stored", store=store, reason=str(error))
        self.state.update(lambda s: s.with_storage_failure(store))


def _first_snapshot() -> Snapshot:
    build = BuildInfo(
        version=exporter.__version__,
        revision="",
        python=platform.python_version(),
        onnxruntime=metadata.version("onnxruntime"),
    )
    return Snapshot(build=build, config=ConfigReload(successful=False, success_at=0.0))


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None

"""The wiring: configuration, schedule, watching, runs, and what becomes of their results."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
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
from exporter.publish.evidence import Evidence, is_full
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
from exporter.service.analyses import Analyses, made_alike
from exporter.service.comparing import comparisons
from exporter.service.pace import Pace
from exporter.service.reports import Reports
from exporter.service.runner import Ended, Runner
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
        self._storing = threading.Lock()
        self.state = State(_first_snapshot())
        self.history = _history(self._config)
        self.evidence = _evidence(self._config)
        self._scheduler = Scheduler()
        self._runner = Runner(self, order=self._order, timeout=lambda: self._config.limits.evaluation_timeout)
        self._analyses = Analyses(
            self.state,
            self._runner,
            config=lambda: self._config,
            request=self.request,
            reports=Reports(self.state, config=lambda: self._config, evidence=lambda: self.evidence),
        )
        self._watcher = Watcher(settle=self._config.watch.settle, changed=self._file_changed)
        self._postponed: dict[Pair, str] = {}
        self._pace = Pace()

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._config

    def start(self) -> None:
        """Take the configuration into force, bring back what still holds, begin to watch and to evaluate."""
        self._open_history()
        self._apply(self._config)
        self._schedule(None)
        self._look_at_storage()
        self._scheduler.every("storage", STORAGE_LOOK_SECONDS, self._look_at_storage)
        self._scheduler.start()
        self._runner.start()
        threading.Thread(target=self._restore, name="restore", daemon=True).start()

    def stop(self) -> None:
        """Cancel the current run, end the schedule, close the history."""
        self._scheduler.stop()
        self._runner.stop()
        with self._storing:
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
            before = self._config
            with self._watching:
                self._apply(config)
            self._schedule(before)
            self._store_elsewhere(before)
            _log.info("configuration reloaded", file=str(self._config_file))
            # Whatever is under way for a pair that is gone or means something else now, nobody wants any more.
            self._runner.cancel(lambda pair: _meaning(before, pair) != _meaning(config, pair))
            for pair in self.state.snapshot.runs:
                if _meaning(before, pair) != _meaning(config, pair):
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
        previous, self._config = self._config, config
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
                    if _meaning(config, pair) != _meaning(previous, pair):
                        # Another rule, file or folder under the same name: the old verdicts are not its.
                        run = replace(run, evaluation=None, checks=(), comparisons=(), ablation=None)
                    runs[pair] = self._checked(replace(run, interval_seconds=interval), models)
            return replace(
                old,
                config=ConfigReload(successful=True, success_at=time.time()),
                models=models,
                datasets=datasets,
                runs=runs,
            )

        self.state.update(change)
        self._watch(config)
        for name, model in self.state.snapshot.models.items():
            # What is known of a file that is watched already changes when the watcher says so, and is evaluated then.
            if model.file_sha256 is None:
                self._model_seen(name)

    def _schedule(self, before: Config | None) -> None:
        config = self._config
        # An interval begins anew whenever it is set, so one that has not changed is left alone.
        if before is None or before.schedule != config.schedule:
            self._scheduler.by("evaluate", config.schedule, self._scheduled)
        if before is None or before.watch.interval != config.watch.interval:
            self._scheduler.every("watch", config.watch.interval, self._look_at_files)

    def _store_elsewhere(self, before: Config) -> None:
        now = self._config
        with self._storing:
            if (before.paths.data, before.history) != (now.paths.data, now.history):
                self.history.close()
                self.history = _history(now)
                self._open_history()
            if (before.paths.results, before.evidence) != (now.paths.results, now.evidence):
                self.evidence = _evidence(now)
        self._look_at_storage()

    def _model_state(self, entry: ModelConfig, old: Snapshot) -> ModelState:
        fresh = ModelState(
            name=entry.name,
            role=entry.role,
            file=self._shown(entry.file),
            decision=entry.decision.rule().describe(),
            baseline=self._baseline,
        )
        before = old.models.get(entry.name)
        if before is None or (before.file, before.decision) != (fresh.file, fresh.decision):
            return fresh
        return replace(before, role=entry.role, baseline=self._baseline)

    def _shown(self, file: Path) -> str:
        # Labels go to dashboards: they need not tell where on this machine the configuration lies.
        folder = self._config_file.parent.absolute()
        return str(file.relative_to(folder)) if file.is_relative_to(folder) else str(file)

    def _read_baseline(self) -> Baseline | None:
        if self._config.baseline is None:
            return None
        try:
            return read_baseline(self._config.baseline)
        except BaselineError as error:
            _log.warning("no baseline", reason=str(error))
            return None

    def _checked(self, run: RunState, models: Mapping[str, ModelState]) -> RunState:
        if run.evaluation is None:
            return run
        paired = [one for one in run.comparisons if one.against in models and models[one.against].role == "baseline"]
        return replace(run, checks=check(run.evaluation, self._baseline, paired))

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
        self._watcher.keep_only({*models, *datasets, *baseline})

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
        else:
            self._baseline = self._read_baseline()
            self.state.update(self._with_baseline)
            _log.info("baseline read anew", found=self._baseline is not None)

    def _with_baseline(self, old: Snapshot) -> Snapshot:
        models = {name: replace(model, baseline=self._baseline) for name, model in old.models.items()}
        runs = {pair: self._checked(run, models) for pair, run in old.runs.items()}
        return replace(old, models=models, runs=runs)

    def _model_changed(self, name: str) -> None:
        before = self.state.snapshot.models[name].file_sha256
        now = self._model_seen(name)
        for pair in [pair for pair in self._postponed if pair[0] == name]:
            self._runner.submit(pair, self._postponed.pop(pair))
        if now is None:
            self._load_failed(name, "missing", f"{self.state.snapshot.models[name].file}: no such file or not readable")
            return
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
        sha256 = None if entry is None else _sha256(entry.file)
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
            model, dataset = config.model(pair[0]), config.dataset(pair[1])
            if model is None or dataset is None:
                return None
            if self._watcher.unsettled(f"model {model.name}"):
                # Asked again once the file is complete.
                self._postponed[pair] = trigger
                return None
        limits = config.limits
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
            latency_sample=config.latency.sample,
            seed=config.latency.seed,
            threads=limits.threads or available_cores(),
            cache=config.cache(),
        )

    def started(self, pair: Pair) -> None:
        """Show that a run is under way."""
        _log.info("evaluation started", model=pair[0], dataset=pair[1])
        self.state.update(lambda s: replace(s, queued=self._runner.queued()))
        self._pace = Pace()
        self._update_run(pair, in_progress=True, progress=0.0, remaining_seconds=None)

    def progressed(self, pair: Pair, ratio: float) -> None:
        """Show how far it is, and how long it may still take."""
        remaining = self._pace.remaining(ratio, time.monotonic())
        self._update_run(pair, progress=ratio, remaining_seconds=remaining)

    def ended(self, run: Ended) -> None:
        """Publish a result, or count and tell why there is none; the old numbers stay in that case."""
        if run.pair not in self.state.snapshot.runs:
            return
        if run.result is not None:
            # Stored first: what a page links to is there.
            self._keep(run, run.result)
        self.state.update(lambda s: replace(self._with_end(s, run), queued=self._runner.queued()))
        if run.result is not None:
            self._compare(run.pair[1])
            self._analyses.after(run.pair)
            for warning in run.result.warnings:
                _log.warning("evaluation warning", model=run.pair[0], dataset=run.pair[1], reason=warning)
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
            **_went_about_it(run.result),
        )

    def _with_end(self, old: Snapshot, run: Ended) -> Snapshot:
        state = old.runs.get(run.pair)
        if state is None:
            return old
        outcomes = {**state.outcomes, run.outcome: state.outcomes.get(run.outcome, 0) + 1}
        # A model that does not load is told of by the load; once the old file is back, nothing has failed any more.
        tells_nothing = run.outcome == "cancelled" or isinstance(run.failure, ModelError)
        successful = state.last_run_successful if tells_nothing else run.outcome == "success"
        state = replace(
            state,
            in_progress=False,
            progress=None,
            remaining_seconds=None,
            outcomes=outcomes,
            last_run_successful=successful,
        )
        new = old.with_run(*run.pair, state)
        model = old.models[run.pair[0]]
        if run.result is None or run.result.evaluation.provenance.decision != model.decision:
            # A result by another rule came in while a new configuration was taken into force.
            return new
        new = self._with_evaluation(new, run.pair, run.result.evaluation)
        if run.result.latency is None:
            return new
        model = new.models[run.pair[0]]
        return new.with_model(replace(model, latency=model.latency.add(run.result.latency)))

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
        ablation = old.runs[pair].ablation
        if ablation is not None and not made_alike(ablation.provenance, evaluation.provenance):
            ablation = None
        run = replace(old.runs[pair], evaluation=evaluation, comparisons=(), ablation=ablation)
        run = self._checked(run, old.models)
        return old.with_model(model).with_dataset(dataset).with_run(*pair, run)

    def _keep(self, run: Ended, result: RunResult) -> None:
        with self._storing:
            try:
                self._append(result.evaluation)
            except StorageError as error:
                self._storage_failed("history", error)
            try:
                checks = check(result.evaluation, self._baseline)
                self.evidence.store(result.evaluation, result.predictions, checks=checks, thumbnails=run.thumbnails)
            except StorageError as error:
                self._storage_failed("evidence", error)

    def _compare(self, dataset: str) -> None:
        """Hold the results on a dataset against each other; each comparison stands with the result that it is of."""
        found = comparisons(self.state.snapshot, self.evidence, dataset)

        def change(old: Snapshot) -> Snapshot:
            for pair, compared in found.items():
                run = old.runs.get(pair)
                if run is not None and run.evaluation is not None:
                    of_this = tuple(one for one in compared if one.evaluation_id == run.evaluation.id)
                    old = old.with_run(*pair, self._checked(replace(run, comparisons=of_this), old.models))
            return old

        self.state.update(change)

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
                self.state.update(lambda s, p=pair, e=evaluation: self._restored(s, p, e))  # type: ignore[misc]
                _log.info("result restored", model=pair[0], dataset=pair[1], evaluation=evaluation.id)
            else:
                self._runner.submit(pair, "start")
        for dataset in {pair[1] for pair in stored}:
            self._compare(dataset)
        for pair in stored:
            self._analyses.after(pair)

    def _restored(self, old: Snapshot, pair: Pair, evaluation: Evaluation) -> Snapshot:
        run = old.runs.get(pair)
        # Gone from the configuration meanwhile, or measured anew: both are newer than the history.
        return old if run is None or run.evaluation is not None else self._with_evaluation(old, pair, evaluation)

    def _still_holds(self, evaluation: Evaluation, pair: Pair, fingerprints: dict[str, str | None]) -> bool:
        model, dataset = self._config.model(pair[0]), self._config.dataset(pair[1])
        state = self.state.snapshot.models.get(pair[0])
        if model is None or dataset is None or state is None or state.file_sha256 is None:
            return False
        if dataset.name not in fingerprints:
            fingerprints[dataset.name] = self._fingerprint(dataset.name, dataset.path)
        fingerprint = fingerprints[dataset.name]
        return fingerprint is not None and still_holds(
            evaluation,
            model_sha256=state.file_sha256,
            dataset_fingerprint=fingerprint,
            decision=model.decision.rule().describe(),
            exporter_version=exporter.__version__,
        )

    def _fingerprint(self, name: str, root: Path) -> str | None:
        try:
            return self._runner.call(worker.fingerprint, name, root, timeout=SCAN_SECONDS)
        except (StarlightError, OSError, RuntimeError) as error:
            # The run that follows tells the same, with its outcome counted.
            _log.warning("dataset not scanned", dataset=name, reason=str(error))
            return None

    def _open_history(self) -> None:
        try:
            self.history.open()
        except StorageError as error:
            self._storage_failed("history", error)

    def _look_at_storage(self) -> None:
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
        self.state.update(lambda s: replace(s, storage_free_bytes=free, storage_size_bytes=sizes))

    def _storage_failed(self, store: Store, error: Exception) -> None:
        _log.error("result not stored", store=store, reason=str(error))
        self.state.update(lambda s: s.with_storage_failure(store))


def _went_about_it(result: RunResult | None) -> dict[str, object]:
    execution = None if result is None else result.evaluation.execution
    if execution is None:
        return {}
    told: dict[str, object] = {"cached": execution.cached_images, "decoded": execution.decoded_images}
    return told if execution.whole_because is None else {**told, "ran_whole": execution.whole_because}


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


def _meaning(config: Config, pair: Pair) -> object:
    """What a pair's numbers are numbers of; None where it is not configured."""
    model, dataset = config.model(pair[0]), config.dataset(pair[1])
    return None if model is None or dataset is None else (model.file, model.decision, dataset.path)


def _first_snapshot() -> Snapshot:
    build = BuildInfo(
        version=exporter.__version__,
        revision=os.environ.get("STARLIGHT_REVISION", ""),
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

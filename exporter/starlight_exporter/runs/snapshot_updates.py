"""Functions from an old snapshot to a new one: configuration, baseline, results, failures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from starlight_exporter.checks.baseline import Baseline
from starlight_exporter.checks.results import CheckResult
from starlight_exporter.config import Config, DatasetConfig, ModelConfig
from starlight_exporter.dataset.dataset import FileFault
from starlight_exporter.detector.providers import describe_providers
from starlight_exporter.errors import ModelFailureReason
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.evaluation.spec import differences
from starlight_exporter.publish.histogram import TimedEvaluation
from starlight_exporter.publish.snapshot import (
    DatasetState,
    EngineState,
    ModelState,
    Pair,
    Quarantine,
    QuarantineReason,
    RunState,
    Snapshot,
)
from starlight_exporter.runs.assessment import Assessment
from starlight_exporter.runs.configuration import configured_evaluation, is_scheduled
from starlight_exporter.runs.finished_run import FinishedRun, RunOutput
from starlight_exporter.runs.scheduler import interval_seconds


def with_configuration(
    old: Snapshot, config: Config, previous: Config, baseline: Baseline | None, *, folder: Path
) -> Snapshot:
    """Return the snapshot of the configured models and datasets, with the known state of those that remain.

    Model files below `folder`, that of the configuration file, are shown relative to it.
    """
    interval = interval_seconds(config.schedule)
    runs = {}
    for entry in config.models:
        for dataset in config.datasets:
            pair = (entry.name, dataset.name)
            run = old.runs.get(pair, RunState())
            if configured_evaluation(config, pair) != configured_evaluation(previous, pair):
                # The old result is of another rule, file or folder under the same name.
                run = replace(
                    run,
                    evaluation=None,
                    evaluated_monotonic=None,
                    faults=(),
                    checks=(),
                    basis=None,
                    comparisons=(),
                    ablation=None,
                    provisional=None,
                    provisional_failure="",
                )
            runs[pair] = replace(run, interval_seconds=interval if is_scheduled(config, pair) else None)
    return replace(
        old,
        limits=config.checks.limits(),
        worker_memory_bytes=config.limits.worker_memory,
        engine=_engine_state(config, old),
        recorded_baseline=baseline,
        models={entry.name: _model_state(entry, old, folder) for entry in config.models},
        datasets={entry.name: _dataset_state(entry, old) for entry in config.datasets},
        runs=runs,
    )


def _engine_state(config: Config, old: Snapshot) -> EngineState | None:
    settings = config.engine.settings()
    if settings.kind == "local":
        return None
    new = EngineState(settings.describe())
    return old.engine if old.engine is not None and old.engine.name == new.name else new


def with_recorded_baseline(old: Snapshot, baseline: Baseline | None) -> Snapshot:
    """Return the snapshot with another recorded baseline."""
    return replace(old, recorded_baseline=baseline)


def with_run_changed(old: Snapshot, pair: Pair, **changes: object) -> Snapshot:
    """Return the snapshot with some fields of a run replaced; unchanged if the pair is no longer configured."""
    run = old.runs.get(pair)
    return old if run is None else old.with_run(*pair, replace(run, **changes))  # type: ignore[arg-type]


def with_finished_run(
    old: Snapshot,
    run: FinishedRun,
    output: RunOutput,
    assessment: Assessment | None,
    *,
    is_current: bool,
) -> Snapshot:
    """Return the snapshot with the outcome of a run counted and its result displayed with its assessment.

    Only the outcome is counted unless the run `is_current`: the pair has another file, rule or dataset now.
    """
    state = old.runs[run.pair]
    outcomes = {**state.outcomes, run.outcome: state.outcomes.get(run.outcome, 0) + 1}
    state = replace(state, in_progress=False, progress=None, remaining_seconds=None, outcomes=outcomes)
    # A model that cannot be loaded is reported as such; with the old file back, no run has failed.
    if is_current and run.outcome != "cancelled" and output.load_failure is None:
        state = replace(state, last_run_successful=run.outcome == "success")
    new = _with_engine_outcome(old.with_run(*run.pair, state), run, output)
    if not is_current or output.result is None or assessment is None:
        return new
    new = with_result(new, output.result.evaluation, assessment)
    table = PredictionTable.of(output.result.predictions)
    excluded = {fault.path: fault for fault in output.faults}
    overdue = table.equals("not_measured", "timeout") | table.equals("not_measured", "crashed")
    faults = tuple(
        excluded.get(one.path) or FileFault(one.path, one.not_measured, one.detail, "decode")
        for one in table.rows(np.flatnonzero(overdue))
        if one.not_measured is not None
    )
    new = with_run_changed(new, run.pair, faults=faults)
    model, result = new.models[run.model], output.result
    if result.latency is None:
        return new
    timed = TimedEvaluation(result.evaluation.id, result.evaluation.finished_at, table.numbers(result.latency.paths))
    return new.with_model(replace(model, latency=model.latency.add(result.latency, timed)))


def _with_engine_outcome(old: Snapshot, run: FinishedRun, output: RunOutput) -> Snapshot:
    """Return the snapshot with the failure of the engine in a run; a run with a result ends an earlier one."""
    engine, failed = old.engine, output.engine_failure is not None
    if engine is None or output.request.engine.describe() != engine.name or not (failed or run.outcome == "success"):
        return old
    return replace(old, engine=replace(engine, failure=output.engine_failure, detail=run.error if failed else ""))


def with_result(old: Snapshot, evaluation: Evaluation, assessment: Assessment) -> Snapshot:
    """Return the snapshot with a result, its assessment and the facts of its model file."""
    return with_assessment(_displayed(old, evaluation), evaluation, assessment)


def with_stored_result(old: Snapshot, evaluation: Evaluation, checks: Sequence[CheckResult]) -> Snapshot:
    """Return the snapshot with a restored result and its stored checks, until it is assessed again."""
    new, pair = _displayed(old, evaluation), (evaluation.model, evaluation.dataset)
    return new.with_run(*pair, replace(new.runs[pair], checks=tuple(checks), basis=None, comparisons=()))


def _displayed(old: Snapshot, evaluation: Evaluation) -> Snapshot:
    """Return the snapshot with a result and the facts of its model file, and without an outdated ablation."""
    pair = (evaluation.model, evaluation.dataset)
    facts, before, sha256 = evaluation.model_facts, old.models[evaluation.model], evaluation.provenance.model_sha256
    # Every evaluation loads the file, but only the first one of a file is a deployment.
    known = before.loaded_at if before.sha256 == sha256 else None
    model = replace(
        before,
        sha256=sha256,
        size_bytes=facts.size_bytes,
        modified_at=facts.modified_at,
        loaded_at=facts.loaded_at if known is None else known,
        last_load_successful=True,
        quarantine=None,
    )
    run = old.runs[pair]
    dataset = old.datasets[evaluation.dataset]
    displayed = (other.evaluation for (_, name), other in old.runs.items() if name == evaluation.dataset)
    new_images = all(
        differences(other.provenance, evaluation.provenance, "images") for other in displayed if other is not None
    )
    if run.evaluation is not None and new_images and dataset.labelled:
        # The first result on new images marks the change; the results of other models follow it.
        dataset = replace(dataset, changed_at=evaluation.started_at)
    ablation = run.ablation
    if ablation is not None and differences(
        ablation.provenance, evaluation.provenance, "model", "images", "rule", "provider"
    ):
        ablation = None
    # A result from the future has no age: the clock was set back since.
    age = max(0.0, time.time() - evaluation.finished_at)
    run = replace(
        run,
        evaluation=evaluation,
        ablation=ablation,
        evaluated_monotonic=time.monotonic() - age,
        provisional=None,
        provisional_failure="",
    )
    return old.with_model(model).with_dataset(dataset).with_run(*pair, run)


def with_assessment(old: Snapshot, evaluation: Evaluation, assessment: Assessment) -> Snapshot:
    """Return the snapshot with the assessment of a displayed result replaced."""
    pair = (evaluation.model, evaluation.dataset)
    run = replace(old.runs[pair], comparisons=assessment.comparisons, basis=assessment.basis, checks=assessment.checks)
    return old.with_run(*pair, run)


def with_quarantine(old: Snapshot, name: str, reason: QuarantineReason, detail: str) -> Snapshot:
    """Return the snapshot with a model in quarantine until its file changes."""
    model = old.models.get(name)
    if model is None:
        return old
    quarantine = Quarantine(reason, _without_path(model, detail), time.time(), model.file_sha256)
    return old.with_model(replace(model, quarantine=quarantine))


def without_quarantine(old: Snapshot, name: str | None) -> Snapshot:
    """Return the snapshot with no quarantine of a model (None: of all models)."""
    for model in old.models.values():
        if model.quarantine is not None and name in (None, model.name):
            old = old.with_model(replace(model, quarantine=None))
    return old


def with_load_failure(old: Snapshot, name: str, reason: ModelFailureReason, detail: str) -> Snapshot:
    """Return the snapshot with one more failure to load a model; its last results remain.

    `detail` is the message of the error. The reason `changed` is only counted: the file was replaced while it was
    loaded, and the new one is loaded next.
    """
    model = old.models.get(name)
    if model is None:
        return old
    failures = {**model.load_failures, reason: model.load_failures.get(reason, 0) + 1}
    model = replace(model, load_failures=failures)
    if reason != "changed":
        text = _without_path(model, detail)
        model = replace(model, last_load_successful=False, last_failure=reason, last_failure_detail=text)
    return old.with_model(model)


def _without_path(model: ModelState, detail: str) -> str:
    """Return a message without the path: the page shows the file, and needs no absolute path of this machine."""
    before, named, after = detail.partition(f"{model.file}: ")
    return after if named else before


_RUN_OF_MODEL: Final = ("file", "decision", "execution_provider")
"""Fields of a model whose change makes its results those of another model."""


def _dataset_state(entry: DatasetConfig, old: Snapshot) -> DatasetState:
    return replace(old.datasets.get(entry.name, DatasetState(entry.name)), alerts=entry.alerts, labelled=entry.labelled)


def _model_state(entry: ModelConfig, old: Snapshot, folder: Path) -> ModelState:
    new = ModelState(
        name=entry.name,
        role=entry.role,
        # Labels appear in dashboards and need no absolute paths of this machine.
        file=str(entry.file.relative_to(folder) if entry.file.is_relative_to(folder) else entry.file),
        decision=entry.decision.rule().describe(),
        execution_provider=describe_providers(entry.execution_providers()),
    )
    known = old.models.get(entry.name)
    if known is None or any(getattr(known, name) != getattr(new, name) for name in _RUN_OF_MODEL):
        return new
    return replace(known, role=entry.role)

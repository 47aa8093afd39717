"""Functions from an old snapshot to a new one: configuration, baseline, results, failures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from starlight_exporter.analysis.comparison import Comparison
from starlight_exporter.checks.baseline import Baseline
from starlight_exporter.checks.checks import CheckResult
from starlight_exporter.config import Config, ModelConfig
from starlight_exporter.errors import ModelFailureReason
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.evaluation.spec import differences
from starlight_exporter.publish.snapshot import DatasetState, ModelState, Pair, RunState, Snapshot
from starlight_exporter.runs.assessment import check_result
from starlight_exporter.runs.configuration import configured_evaluation
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
                run = replace(run, evaluation=None, checks=(), comparisons=(), ablation=None)
            runs[pair] = replace(run, interval_seconds=interval)
    new = replace(
        old,
        models={entry.name: _model_state(entry, old, baseline, folder) for entry in config.models},
        datasets={entry.name: old.datasets.get(entry.name, DatasetState(entry.name)) for entry in config.datasets},
        runs=runs,
    )
    return _with_checks(new)


def with_baseline(old: Snapshot, baseline: Baseline | None) -> Snapshot:
    """Return the snapshot with another baseline and the checks that follow from it."""
    return _with_checks(
        replace(old, models={name: replace(model, baseline=baseline) for name, model in old.models.items()})
    )


def with_run_changed(old: Snapshot, pair: Pair, **changes: object) -> Snapshot:
    """Return the snapshot with some fields of a run replaced; unchanged if the pair is no longer configured."""
    run = old.runs.get(pair)
    return old if run is None else old.with_run(*pair, replace(run, **changes))  # type: ignore[arg-type]


def with_finished_run(
    old: Snapshot,
    run: FinishedRun,
    output: RunOutput,
    comparisons: Sequence[Comparison],
    checks: Sequence[CheckResult],
    *,
    is_current: bool,
) -> Snapshot:
    """Return the snapshot with the outcome of a run counted and its result displayed.

    Only the outcome is counted unless the run `is_current`: the pair has another file, rule or dataset now.
    """
    state = old.runs[run.pair]
    outcomes = {**state.outcomes, run.outcome: state.outcomes.get(run.outcome, 0) + 1}
    state = replace(state, in_progress=False, progress=None, remaining_seconds=None, outcomes=outcomes)
    # A model that cannot be loaded is reported as such; with the old file back, no run has failed.
    if is_current and run.outcome != "cancelled" and output.load_failure is None:
        state = replace(state, last_run_successful=run.outcome == "success")
    new = old.with_run(*run.pair, state)
    if not is_current or output.result is None:
        return new
    new = with_result(new, output.result.evaluation, comparisons, checks)
    if output.result.latency is None:
        return new
    model = new.models[run.model]
    return new.with_model(replace(model, latency=model.latency.add(output.result.latency)))


def with_result(
    old: Snapshot, evaluation: Evaluation, comparisons: Sequence[Comparison], checks: Sequence[CheckResult]
) -> Snapshot:
    """Return the snapshot with a result and the facts of its model file, and without an outdated ablation."""
    pair = (evaluation.model, evaluation.dataset)
    facts = evaluation.model_facts
    model = replace(
        old.models[evaluation.model],
        sha256=evaluation.provenance.model_sha256,
        size_bytes=facts.size_bytes,
        modified_at=facts.modified_at,
        loaded_at=facts.loaded_at,
        last_load_successful=True,
    )
    run = old.runs[pair]
    dataset = old.datasets[evaluation.dataset]
    displayed = (other.evaluation for (_, name), other in old.runs.items() if name == evaluation.dataset)
    new_images = all(
        differences(other.provenance, evaluation.provenance, "images") for other in displayed if other is not None
    )
    if run.evaluation is not None and new_images:
        # The first result on new images marks the change; the results of other models follow it.
        dataset = replace(dataset, changed_at=evaluation.started_at)
    ablation = run.ablation
    if ablation is not None and differences(ablation.provenance, evaluation.provenance, "model", "images", "rule"):
        ablation = None
    run = replace(run, evaluation=evaluation, ablation=ablation)
    new = old.with_model(model).with_dataset(dataset).with_run(*pair, run)
    return with_comparisons(new, evaluation, comparisons, checks)


def with_comparisons(
    old: Snapshot, evaluation: Evaluation, comparisons: Sequence[Comparison], checks: Sequence[CheckResult]
) -> Snapshot:
    """Return the snapshot with the comparisons and checks of a displayed result replaced."""
    run = old.runs[evaluation.model, evaluation.dataset]
    return old.with_run(
        evaluation.model, evaluation.dataset, replace(run, comparisons=tuple(comparisons), checks=tuple(checks))
    )


def with_load_failure(old: Snapshot, name: str, reason: ModelFailureReason) -> Snapshot:
    """Return the snapshot with one more failure to load a model; its last results remain.

    The reason `changed` is only counted: the file was replaced while it was loaded, and the new one is loaded next.
    """
    model = old.models.get(name)
    if model is None:
        return old
    failures = {**model.load_failures, reason: model.load_failures.get(reason, 0) + 1}
    model = replace(model, load_failures=failures)
    if reason != "changed":
        model = replace(model, last_load_successful=False, last_failure=reason)
    return old.with_model(model)


def _with_checks(snapshot: Snapshot) -> Snapshot:
    runs = {
        pair: run
        if run.evaluation is None
        else replace(run, checks=check_result(run.evaluation, run.comparisons, snapshot))
        for pair, run in snapshot.runs.items()
    }
    return replace(snapshot, runs=runs)


def _model_state(entry: ModelConfig, old: Snapshot, baseline: Baseline | None, folder: Path) -> ModelState:
    new = ModelState(
        name=entry.name,
        role=entry.role,
        # Labels appear in dashboards and need no absolute paths of this machine.
        file=str(entry.file.relative_to(folder) if entry.file.is_relative_to(folder) else entry.file),
        decision=entry.decision.rule().describe(),
        baseline=baseline,
    )
    known = old.models.get(entry.name)
    if known is None or (known.file, known.decision) != (new.file, new.decision):
        return new
    return replace(known, role=entry.role, baseline=baseline)

"""What the end of a run, a new baseline or a failed load makes of the snapshot: functions from old to new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from starlight_exporter.analysis.comparison import Comparison
from starlight_exporter.checks.baseline import Baseline
from starlight_exporter.checks.checks import run_checks
from starlight_exporter.errors import ModelError, ModelFailureReason
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.evaluation.spec import differences
from starlight_exporter.publish.snapshot import ModelState, Pair, RunState, Snapshot
from starlight_exporter.runs.runner import Ended


def checked(run: RunState, models: Mapping[str, ModelState], baseline: Baseline | None) -> RunState:
    """The run with the checks of its evaluation, against this baseline and paired with the baseline models' results."""
    if run.evaluation is None:
        return run
    paired = [one for one in run.comparisons if one.against in models and models[one.against].role == "baseline"]
    return replace(run, checks=run_checks(run.evaluation, baseline, paired))


def with_baseline(old: Snapshot, baseline: Baseline | None) -> Snapshot:
    """Every model and every check with this baseline."""
    models = {name: replace(model, baseline=baseline) for name, model in old.models.items()}
    return replace(old, models=models, runs={pair: checked(run, models, baseline) for pair, run in old.runs.items()})


def with_run_changed(old: Snapshot, pair: Pair, **changes: object) -> Snapshot:
    """A run with some fields replaced; unchanged if the pair is no longer there."""
    run = old.runs.get(pair)
    return old if run is None else old.with_run(*pair, replace(run, **changes))  # type: ignore[arg-type]


def with_end(old: Snapshot, run: Ended, baseline: Baseline | None, *, holds: bool) -> Snapshot:
    """The outcome counted and the result shown, if there is one.

    Of a run that measured what the pair no longer `holds`, for a new configuration is in force, only the end is told.
    """
    state = old.runs.get(run.pair)
    if state is None:
        return old
    outcomes = {**state.outcomes, run.outcome: state.outcomes.get(run.outcome, 0) + 1}
    state = replace(state, in_progress=False, progress=None, remaining_seconds=None, outcomes=outcomes)
    if not holds:
        return old.with_run(*run.pair, state)
    # A model that does not load is told of by the load; once the old file is back, nothing has failed any more.
    tells_nothing = run.outcome == "cancelled" or isinstance(run.failure, ModelError)
    successful = state.last_run_successful if tells_nothing else run.outcome == "success"
    new = old.with_run(*run.pair, replace(state, last_run_successful=successful))
    if run.result is None:
        return new
    new = with_evaluation(new, run.pair, run.result.evaluation, baseline)
    if run.result.latency is None:
        return new
    model = new.models[run.pair[0]]
    return new.with_model(replace(model, latency=model.latency.add(run.result.latency)))


def with_evaluation(old: Snapshot, pair: Pair, evaluation: Evaluation, baseline: Baseline | None) -> Snapshot:
    """A pair's result, with the facts of its model file; an ablation of another file or other images goes."""
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
    dataset = old.datasets[pair[1]]
    shown = (run.evaluation for (_, name), run in old.runs.items() if name == pair[1])
    first = all(differences(one.provenance, evaluation.provenance, "images") for one in shown if one is not None)
    if before is not None and first:
        # The first result on new images tells of the change; the other models' that follow tell of the same one.
        dataset = replace(dataset, changed_at=evaluation.started_at)
    ablation = old.runs[pair].ablation
    if ablation is not None and differences(ablation.provenance, evaluation.provenance, "model", "images", "rule"):
        ablation = None
    run = replace(old.runs[pair], evaluation=evaluation, comparisons=(), ablation=ablation)
    run = checked(run, old.models, baseline)
    return old.with_model(model).with_dataset(dataset).with_run(*pair, run)


def with_restored(old: Snapshot, pair: Pair, evaluation: Evaluation, baseline: Baseline | None) -> Snapshot:
    """A stored result, unless the pair is gone meanwhile or measured anew: both are newer than the history."""
    run = old.runs.get(pair)
    return old if run is None or run.evaluation is not None else with_evaluation(old, pair, evaluation, baseline)


def with_comparisons(
    old: Snapshot, found: Mapping[Pair, tuple[Comparison, ...]], baseline: Baseline | None
) -> Snapshot:
    """Each comparison beside the result that it is of; those of a result that is no longer shown are left out."""
    for pair, compared in found.items():
        run = old.runs.get(pair)
        if run is not None and run.evaluation is not None:
            of_this = tuple(one for one in compared if one.evaluation_id == run.evaluation.id)
            old = old.with_run(*pair, checked(replace(run, comparisons=of_this), old.models, baseline))
    return old


def with_load_failure(old: Snapshot, name: str, reason: ModelFailureReason) -> Snapshot:
    """One more failure to load a model; its old numbers stay.

    `changed` tells nothing of the file that is there now: its own load does, which follows.
    """
    model = old.models.get(name)
    if model is None:
        return old
    failures = {**model.load_failures, reason: model.load_failures.get(reason, 0) + 1}
    model = replace(model, load_failures=failures)
    if reason != "changed":
        model = replace(model, last_load_successful=False, last_failure=reason)
    return old.with_model(model)

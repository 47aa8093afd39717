"""Pipeline of finished runs: validate, compare, check, store, publish, log."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable

import structlog

from starlight_exporter.analysis.comparison import Comparison
from starlight_exporter.checks.checks import CheckResult
from starlight_exporter.errors import ModelFailureReason
from starlight_exporter.evaluation.results import Evaluation, RunResult
from starlight_exporter.publish.snapshot import Pair, Snapshot
from starlight_exporter.runs.assessment import check_result, compare_with_others
from starlight_exporter.runs.configuration import ActiveConfiguration
from starlight_exporter.runs.finished_run import FinishedRun, RunOutput
from starlight_exporter.runs.progress import TimeLeft
from starlight_exporter.runs.snapshot_updates import (
    with_comparisons,
    with_finished_run,
    with_load_failure,
    with_result,
    with_run_changed,
)
from starlight_exporter.runs.state import State
from starlight_exporter.runs.storage import Storage

_log = structlog.get_logger(__name__)


class Pipeline:
    """Turns finished runs into stored and displayed results; `finish` is the life of a run after its end."""

    def __init__(self, state: State, storage: Storage, config: ActiveConfiguration) -> None:
        self._state = state
        self._storage = storage
        self._config = config
        # Configuration and baseline do not change between the checks of a result and its publication.
        self._lock = threading.Lock()
        self._time_left = TimeLeft()

    def started(self, pair: Pair) -> None:
        """Publish that a run is in progress."""
        _log.info("evaluation started", model=pair[0], dataset=pair[1])
        self._time_left = TimeLeft()
        self._state.update(lambda s: with_run_changed(s, pair, in_progress=True, progress=0.0, remaining_seconds=None))

    def progressed(self, pair: Pair, ratio: float) -> None:
        """Publish the progress of a run and the time left."""
        remaining = self._time_left.estimate(ratio, time.monotonic())
        self._state.update(lambda s: with_run_changed(s, pair, progress=ratio, remaining_seconds=remaining))

    def finish(self, run: FinishedRun, output: RunOutput) -> bool:
        """Process a finished run: validate, compare, check, store, publish, log. Return whether it has a result."""
        with self._lock:
            # Validate: a run of a removed pair is dropped, that of a changed pair is stored but not displayed.
            snapshot, evidence, result = self._state.snapshot, self._storage.evidence, output.result
            if run.pair not in snapshot.runs:
                return False
            is_current = self._config.applies_to(output.request)
            comparisons: tuple[Comparison, ...] = ()
            checks: tuple[CheckResult, ...] = ()
            if result is not None:
                evaluation = result.evaluation
                comparisons = compare_with_others(
                    evaluation, lambda: result.predictions, snapshot, evidence, evidence.predictions
                )
                checks = check_result(evaluation, comparisons, snapshot)
                # Store before publishing, because pages link to the stored evidence.
                self._storage.store(result, checks, output.thumbnails)
            self._state.update(lambda s: with_finished_run(s, run, output, comparisons, checks, is_current=is_current))
            if is_current and result is not None and snapshot.models[run.model].role == "baseline":
                self._compare_again(run.dataset, excluding=run.model)
            if is_current and output.load_failure is not None:
                self.load_failed(run.model, output.load_failure, run.error)
            self._state.record(run)
            _log_run(run, result)
            return result is not None

    def restore(self, evaluation: Evaluation) -> None:
        """Display a stored result, unless the pair was removed or has a newer result."""
        with self._lock:
            snapshot = self._state.snapshot
            run = snapshot.runs.get((evaluation.model, evaluation.dataset))
            if run is not None and run.evaluation is None:
                checks = check_result(evaluation, (), snapshot)
                self._state.update(lambda s: with_result(s, evaluation, (), checks))
                _log.info(
                    "result restored", model=evaluation.model, dataset=evaluation.dataset, evaluation=evaluation.id
                )

    def compare_restored(self, dataset: str) -> None:
        """Compare and check the displayed results on a dataset, once all are restored."""
        with self._lock:
            self._compare_again(dataset)

    def apply(self, change: Callable[[Snapshot], Snapshot]) -> None:
        """Change configuration or baseline of the snapshot, and store the checks that change with it."""
        with self._lock:
            before = self._state.snapshot.runs
            self._state.update(change)
            for pair, run in self._state.snapshot.runs.items():
                if run.evaluation is not None and pair in before and run.checks != before[pair].checks:
                    self._storage.replace_checks(run.evaluation.id, run.checks)

    def load_failed(self, model: str, reason: ModelFailureReason, detail: str) -> None:
        """Count and log a model that cannot be loaded."""
        _log.error("model not loaded", model=model, reason=reason, detail=detail)
        self._state.update(lambda s: with_load_failure(s, model, reason))

    def _compare_again(self, dataset: str, *, excluding: str | None = None) -> None:
        """Compare and check the displayed results on a dataset again, except that of one model."""
        snapshot, evidence = self._state.snapshot, self._storage.evidence
        # Every result is compared with the same few others.
        read = functools.lru_cache(maxsize=3)(evidence.predictions)
        for (model, name), run in snapshot.runs.items():
            evaluation = run.evaluation
            if name != dataset or model == excluding or evaluation is None:
                continue
            entry = self._storage.find(evaluation.id)
            if entry is None:
                continue
            comparisons = compare_with_others(evaluation, functools.partial(read, entry), snapshot, evidence, read)
            checks = check_result(evaluation, comparisons, snapshot)
            self._storage.replace_checks(evaluation.id, checks)
            self._state.update(
                functools.partial(with_comparisons, evaluation=evaluation, comparisons=comparisons, checks=checks)
            )


def _log_run(run: FinishedRun, result: RunResult | None) -> None:
    for warning in () if result is None else result.warnings:
        _log.warning("evaluation warning", model=run.model, dataset=run.dataset, reason=warning)
    fields: dict[str, object] = {"reason": run.error} if run.error else {}
    execution = None if result is None else result.evaluation.execution
    if execution is not None:
        fields |= {"cached": execution.cached_images, "decoded": execution.decoded_images}
        if execution.full_model_reason is not None:
            fields["full_model_reason"] = execution.full_model_reason
    log = _log.info if run.outcome in ("success", "cancelled") else _log.error
    log(
        "evaluation finished",
        model=run.model,
        dataset=run.dataset,
        outcome=run.outcome,
        seconds=round(run.ended_at - run.started_at, 1),
        **fields,
    )

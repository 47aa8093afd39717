"""Pipeline of finished runs: validate, compare, check, store, publish, log."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Final

import structlog

from starlight_exporter.errors import ModelFailureReason, StorageError
from starlight_exporter.evaluation.provisional_result import ProvisionalFailure, ProvisionalResult
from starlight_exporter.evaluation.request import DriftReference, RunRequest
from starlight_exporter.evaluation.results import Evaluation, Prediction, RunResult
from starlight_exporter.evaluation.spec import differences
from starlight_exporter.publish.snapshot import Pair, QuarantineReason, Snapshot
from starlight_exporter.runs.assessment import Assessment, ReadPredictions, assess, stored_checks
from starlight_exporter.runs.configuration import ActiveConfiguration, is_scheduled
from starlight_exporter.runs.finished_run import FinishedRun, RunOutput
from starlight_exporter.runs.progress import TimeLeft
from starlight_exporter.runs.provisional_results import ProvisionalResults
from starlight_exporter.runs.snapshot_updates import (
    with_assessment,
    with_finished_run,
    with_load_failure,
    with_quarantine,
    with_run_changed,
    with_stored_result,
)
from starlight_exporter.runs.state import State
from starlight_exporter.runs.storage import Storage

_log = structlog.get_logger(__name__)

_REFERENCE_MISSING: Final = (
    "no_reference_result",
    "different_model",
    "different_software",
    "reference_not_readable",
    "too_few_reference_images",
)
"""Reasons for which drift was not measured that another result on the reference may remove."""


class Pipeline:
    """Turns finished runs into stored and displayed results; `finish` is the life of a run after its end."""

    def __init__(self, state: State, storage: Storage, config: ActiveConfiguration) -> None:
        self._state = state
        self._storage = storage
        self._config = config
        # Configuration and baseline do not change between the checks of a result and its publication.
        self._lock = threading.Lock()
        self._time_left = TimeLeft()
        self._provisional = ProvisionalResults(state, config)

    def started(self, pair: Pair) -> None:
        """Publish that a run is in progress."""
        _log.info("evaluation started", model=pair[0], dataset=pair[1])
        self._time_left = TimeLeft()
        changes: dict[str, object] = {"progress": 0.0, "remaining_seconds": None, "provisional_failure": ""}
        self._state.update(lambda s: with_run_changed(s, pair, in_progress=True, **changes))

    def progressed(self, pair: Pair, ratio: float) -> None:
        """Publish the progress of a run and the time left."""
        remaining = self._time_left.estimate(ratio, time.monotonic())
        self._state.update(lambda s: with_run_changed(s, pair, progress=ratio, remaining_seconds=remaining))

    def sampled(self, request: RunRequest, result: ProvisionalResult | ProvisionalFailure) -> bool:
        """Check and publish a provisional result, or publish why there is none; return whether one is published."""
        with self._lock:
            return self._provisional.publish(request, result)

    def finish(self, run: FinishedRun, output: RunOutput) -> bool:
        """Process a finished run: validate, compare, check, store, publish, log. Return whether it has a result."""
        with self._lock:
            # Validate: a run of a removed pair is dropped, that of a changed pair is stored but not displayed.
            snapshot, evidence, result = self._state.snapshot, self._storage.evidence, output.result
            if run.pair not in snapshot.runs:
                return False
            is_current = self._config.applies_to(output.request)
            assessment: Assessment | None = None
            if result is not None:
                # Compare and check.
                assessment = assess(
                    result.evaluation, lambda: result.predictions, snapshot, evidence, evidence.predictions
                )
                # Store before publishing, because pages link to the stored evidence.
                self._storage.store(result, assessment.checks, output.thumbnails)
            self._state.update(lambda s: with_finished_run(s, run, output, assessment, is_current=is_current))
            if is_current and output.load_failure is not None:
                self.load_failed(run.model, output.load_failure, run.error)
            if is_current and output.exceeded is not None:
                self._quarantine(run.model, output.exceeded, run.error)
            if is_current and snapshot.models[run.model].role == "baseline":
                # The other models are compared with the new result, or have no baseline because it cannot be loaded.
                self._assess_again(run.dataset, excluding=run.model)
            self._state.record(run)
            _log_run(run, result)
            return result is not None

    def restore(self, evaluation: Evaluation) -> None:
        """Display a stored result, unless the pair was removed or has a newer result."""
        with self._lock:
            snapshot = self._state.snapshot
            run = snapshot.runs.get((evaluation.model, evaluation.dataset))
            if run is not None and run.evaluation is None:
                checks = stored_checks(evaluation, self._storage.evidence)
                self._state.update(lambda s: with_stored_result(s, evaluation, checks))
                _log.info(
                    "result restored", model=evaluation.model, dataset=evaluation.dataset, evaluation=evaluation.id
                )

    def assess_restored(self, dataset: str) -> None:
        """Compare and check the displayed results on a dataset, once all are restored."""
        with self._lock:
            self._assess_again(dataset)

    def apply(self, change: Callable[[Snapshot], Snapshot]) -> None:
        """Change configuration or baseline of the snapshot, and assess the displayed results again if it matters."""
        with self._lock:
            before = self._state.snapshot
            self._state.update(change)
            after = self._state.snapshot
            if _assessed_by(before) != _assessed_by(after):
                for dataset in after.datasets:
                    self._assess_again(dataset)
                self._provisional.check_again(same_baseline=_baseline_of(before) == _baseline_of(after))

    def baseline_file_changed(self) -> None:
        """Check the displayed provisional results without the verdicts of a baseline model that was replaced."""
        with self._lock:
            self._provisional.check_again(same_baseline=True)

    def applies_until_changed(self, pair: Pair) -> bool:
        """Return whether a pair is not scheduled and has a result on the images of the newest result of the dataset."""
        snapshot = self._state.snapshot
        run, model = snapshot.runs.get(pair), snapshot.models.get(pair[0])
        if run is None or model is None or run.evaluation is None or is_scheduled(self._config.current, pair):
            return False
        spec = run.evaluation.provenance
        results = [
            (other.evaluated_monotonic or 0.0, other.evaluation.provenance)
            for (_, dataset), other in snapshot.runs.items()
            if dataset == pair[1] and other.evaluation is not None
        ]
        newest = max(results, key=itemgetter(0))[1]
        return (
            not differences(newest, spec, "images", "software")
            and model.file_sha256 == spec.model_sha256
            and run.last_run_successful is not False
        )

    def timed_with_another_baseline(self, baseline: Pair) -> list[Pair]:
        """Return the production models whose latency was compared with another file of this baseline; empty if none."""
        snapshot = self._state.snapshot
        model, run = snapshot.models.get(baseline[0]), snapshot.runs.get(baseline)
        if model is None or model.role != "baseline" or run is None or run.evaluation is None:
            return []
        sha256 = run.evaluation.provenance.model_sha256
        return [
            pair
            for pair, other in snapshot.runs.items()
            if pair[1] == baseline[1]
            and snapshot.models[pair[0]].role == "production"
            and other.evaluation is not None
            and other.evaluation.latency_ratio is not None
            and other.evaluation.latency_ratio.baseline_sha256 != sha256
        ]

    def is_up_to_date(self, pair: Pair) -> bool:
        """Return whether the last run of a pair succeeded, on the model file and the images as last read."""
        snapshot = self._state.snapshot
        run, model, dataset = snapshot.runs.get(pair), snapshot.models.get(pair[0]), snapshot.datasets.get(pair[1])
        if run is None or run.evaluation is None or model is None or dataset is None:
            return False
        if run.last_run_successful is False:
            return False
        spec = run.evaluation.provenance
        return spec.model_sha256 == model.file_sha256 and dataset.fingerprint == spec.dataset_fingerprint

    def with_stored_results(self, request: RunRequest) -> RunRequest:
        """Return the request with what it needs of earlier results of the dataset."""
        if request.unlabelled is not None:
            return self._with_drift_reference(request)
        return replace(request, provisional=self._provisional.requested(request.dataset))

    def _with_drift_reference(self, request: RunRequest) -> RunRequest:
        """Return the request with the stored result of the same model on the drift reference, if there is one."""
        unlabelled = request.unlabelled
        if unlabelled is None or unlabelled.drift_reference is None:
            return request
        dataset = unlabelled.drift_reference.dataset
        run = self._state.snapshot.runs.get((request.model, dataset))
        entry = None if run is None or run.evaluation is None else self._storage.find(run.evaluation.id)
        sample = None if entry is None else self._storage.evidence.drift_sample(entry)
        if entry is None or sample is None:
            return request
        reference = DriftReference(dataset, entry.id, entry.spec, sample)
        return replace(request, unlabelled=replace(unlabelled, drift_reference=reference))

    def without_drift_reference(self, reference: Pair) -> list[Pair]:
        """Return the pairs whose drift was not measured because this reference had no comparable result."""
        return [
            pair
            for pair, run in self._state.snapshot.runs.items()
            if pair[0] == reference[0]
            and run.evaluation is not None
            and run.evaluation.unlabelled is not None
            and run.evaluation.unlabelled.drift.reference == reference[1]
            and run.evaluation.unlabelled.drift.unavailable in _REFERENCE_MISSING
        ]

    def is_quarantined(self, pair: Pair) -> bool:
        """Return whether a research model is not evaluated, because it exceeded its limits.

        A production model and its baseline are evaluated again at the next opportunity: monitoring must not stop.
        """
        model = self._state.snapshot.models.get(pair[0])
        return model is not None and model.role == "research" and model.quarantine is not None

    def load_failed(self, model: str, reason: ModelFailureReason, detail: str) -> None:
        """Count and log a model that cannot be loaded."""
        _log.error("model not loaded", model=model, reason=reason, detail=detail)
        self._state.update(lambda s: with_load_failure(s, model, reason, detail))

    def _quarantine(self, model: str, reason: QuarantineReason, detail: str) -> None:
        _log.error("model exceeded its limits", model=model, reason=reason, detail=detail)
        self._state.update(lambda s: with_quarantine(s, model, reason, detail))

    def _assess_again(self, dataset: str, *, excluding: str | None = None) -> None:
        """Compare and check the displayed results on a dataset again, except that of one model."""
        snapshot, evidence = self._state.snapshot, self._storage.evidence
        # Every result is compared with the same few others.
        read = functools.lru_cache(maxsize=3)(evidence.predictions)
        for (model, name), run in snapshot.runs.items():
            evaluation = run.evaluation
            if name != dataset or model == excluding or evaluation is None:
                continue
            entry = self._storage.find(evaluation.id)
            predictions: Callable[[], Sequence[Prediction]] | None = None
            if entry is not None:
                predictions = functools.partial(read, entry)
            pending = self._storage.pending_predictions(evaluation.id) if entry is None else None
            if pending is not None:
                predictions = functools.partial(_identity, pending)
            assessment = self._assess_stored(evaluation, predictions, snapshot, read)
            if predictions is not None:
                self._storage.replace_checks(evaluation.id, assessment.checks)
            self._state.update(functools.partial(with_assessment, evaluation=evaluation, assessment=assessment))

    def _assess_stored(
        self,
        evaluation: Evaluation,
        predictions: Callable[[], Sequence[Prediction]] | None,
        snapshot: Snapshot,
        read: ReadPredictions,
    ) -> Assessment:
        try:
            return assess(evaluation, predictions, snapshot, self._storage.evidence, read)
        except StorageError as error:
            _log.warning("predictions not readable", evaluation=evaluation.id, reason=str(error))
            return assess(evaluation, None, snapshot, self._storage.evidence, read)


def _identity(predictions: Sequence[Prediction]) -> Sequence[Prediction]:
    return predictions


def _assessed_by(snapshot: Snapshot) -> object:
    """Return what the assessment of every result depends on."""
    return _baseline_of(snapshot), snapshot.recorded_baseline, snapshot.limits


def _baseline_of(snapshot: Snapshot) -> object:
    model = snapshot.baseline_model()
    return None if model is None else (model.name, model.file, model.decision)


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

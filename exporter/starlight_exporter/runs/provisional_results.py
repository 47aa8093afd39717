"""Provisional results in the service: check and publish samples, and keep baseline verdicts for the next sample.

A failure here costs the provisional result, never the evaluation that it belongs to.
"""

from __future__ import annotations

from dataclasses import replace

import structlog

from starlight_exporter.checks.provisional import CheckedSample, check_sample
from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.baseline_verdicts import BaselineVerdicts
from starlight_exporter.evaluation.provisional_result import ProvisionalFailure, ProvisionalResult
from starlight_exporter.evaluation.request import ProvisionalRequest, RunRequest
from starlight_exporter.publish.snapshot import Pair, Snapshot
from starlight_exporter.runs.configuration import ActiveConfiguration
from starlight_exporter.runs.snapshot_updates import with_run_changed
from starlight_exporter.runs.state import State

_log = structlog.get_logger(__name__)


class ProvisionalResults:
    """The provisional results of the snapshot. The caller prevents changes of configuration and baseline meanwhile."""

    def __init__(self, state: State, config: ActiveConfiguration) -> None:
        self._state = state
        self._config = config
        self._baseline_verdicts: dict[str, BaselineVerdicts] = {}

    def requested(self, dataset: str) -> ProvisionalRequest:
        """Return the request for a provisional result on a dataset."""
        runs = self._state.snapshot.runs.items()
        return ProvisionalRequest(
            has_result=any(run.evaluation is not None for (_, name), run in runs if name == dataset),
            baseline=self._baseline_verdicts.get(dataset),
        )

    def publish(self, request: RunRequest, result: ProvisionalResult | ProvisionalFailure) -> bool:
        """Check and publish a result, or publish why there is none; return whether one is published.

        Nothing is published if the pair has changed since the start of the run. If the baseline model has, the sample
        is not compared with it.
        """
        snapshot, pair = self._state.snapshot, (request.model, request.dataset)
        if pair not in snapshot.runs or not self._config.applies_to(request):
            return False
        if isinstance(result, ProvisionalFailure):
            self._fail(pair, result.reason)
            return False
        if result.baseline is not None:
            self._baseline_verdicts[result.dataset] = result.baseline
        if not self._config.has_baseline_of(request):
            result = replace(result, baseline=None)
        checked = self._check(pair, result, snapshot)
        if checked is None:
            return False
        _log.info(
            "provisional result published",
            model=result.model,
            dataset=result.dataset,
            images=checked.images,
            of=result.dataset_images,
            significant=len(checked.significant),
            seconds=round(result.finished_at - result.started_at, 1),
        )
        return True

    def check_again(self, *, same_baseline: bool) -> None:
        """Check the displayed results again, without the verdicts of another baseline model or file."""
        snapshot = self._state.snapshot
        for pair, run in snapshot.runs.items():
            if run.provisional is not None:
                result = run.provisional.result
                self._check(pair, result if same_baseline else replace(result, baseline=None), snapshot)

    def _check(self, pair: Pair, result: ProvisionalResult, snapshot: Snapshot) -> CheckedSample | None:
        """Check and display a result; None if that fails."""
        try:
            checked = check_sample(result, snapshot.limits, baseline=_present_baseline(result, snapshot))
        except StorageError as error:
            self._fail(pair, str(error))
            return None
        self._state.update(lambda s: with_run_changed(s, pair, provisional=checked, provisional_failure=""))
        return checked

    def _fail(self, pair: Pair, reason: str) -> None:
        _log.warning("no provisional result", model=pair[0], dataset=pair[1], reason=reason)
        self._state.update(lambda s: with_run_changed(s, pair, provisional=None, provisional_failure=reason))


def _present_baseline(result: ProvisionalResult, snapshot: Snapshot) -> str | None:
    """Return the name of the baseline model, None if the verdicts on the sample are those of another file."""
    model = snapshot.baseline_model()
    if model is None or result.baseline is None:
        return None
    return model.name if model.file_sha256 in (None, result.baseline.spec.model_sha256) else None

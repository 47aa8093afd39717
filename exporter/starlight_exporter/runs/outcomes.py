"""How runs go and end: shown on the way, stored and published at the end, told in the log."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from starlight_exporter.checks.baseline import Baseline
from starlight_exporter.errors import ModelError, ModelFailureReason
from starlight_exporter.evaluation.results import RunResult
from starlight_exporter.publish.snapshot import Pair
from starlight_exporter.runs.comparing import comparisons
from starlight_exporter.runs.pace import Pace
from starlight_exporter.runs.results import with_comparisons, with_end, with_load_failure, with_run_changed
from starlight_exporter.runs.runner import Ended
from starlight_exporter.runs.state import RunRecord, State
from starlight_exporter.runs.storage import Storage

_log = structlog.get_logger(__name__)


class Outcomes:
    """Brings what the runner tells into the snapshot, the stores and the list of runs."""

    def __init__(self, state: State, storage: Storage) -> None:
        self._state = state
        self._storage = storage
        self._pace = Pace()

    def started(self, pair: Pair) -> None:
        """Show that a run is under way."""
        _log.info("evaluation started", model=pair[0], dataset=pair[1])
        self._pace = Pace()
        self._state.update(lambda s: with_run_changed(s, pair, in_progress=True, progress=0.0, remaining_seconds=None))

    def progressed(self, pair: Pair, ratio: float) -> None:
        """Show how far it is, and how long it may still take."""
        remaining = self._pace.remaining(ratio, time.monotonic())
        self._state.update(lambda s: with_run_changed(s, pair, progress=ratio, remaining_seconds=remaining))

    def ended(self, run: Ended, baseline: Baseline | None, *, holds: Callable[[], bool]) -> bool:
        """Publish a result, or count and tell why there is none; the old numbers stay in that case.

        `holds` says whether the pair still means what was measured. Whether there is a result of a configured pair.
        """
        if run.pair not in self._state.snapshot.runs:
            return False
        if run.result is not None:
            # Stored first: what a page links to is there.
            self._storage.keep(run.result, run.thumbnails, baseline)
        # Asked for within the update: a new configuration is in force before the snapshot is made to fit it.
        self._state.update(lambda s: with_end(s, run, baseline, holds=holds()))
        if run.result is not None:
            self.compare(run.pair[1], baseline)
            for warning in run.result.warnings:
                _log.warning("evaluation warning", model=run.pair[0], dataset=run.pair[1], reason=warning)
        elif isinstance(run.failure, ModelError) and holds():
            self.load_failed(run.pair[0], run.failure.reason, run.error)
        self._record(run)
        return run.result is not None

    def compare(self, dataset: str, baseline: Baseline | None) -> None:
        """Hold the results on a dataset against each other; each comparison stands with the result that it is of."""
        found = comparisons(self._state.snapshot, self._storage.evidence, dataset)
        self._state.update(lambda s: with_comparisons(s, found, baseline))

    def load_failed(self, name: str, reason: ModelFailureReason, text: str) -> None:
        """Count and tell a model that does not load."""
        _log.error("model not loaded", model=name, reason=reason, detail=text)
        self._state.update(lambda s: with_load_failure(s, name, reason))

    def _record(self, run: Ended) -> None:
        self._state.record(
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


def _went_about_it(result: RunResult | None) -> dict[str, object]:
    execution = None if result is None else result.evaluation.execution
    if execution is None:
        return {}
    told: dict[str, object] = {"cached": execution.cached_images, "decoded": execution.decoded_images}
    return told if execution.full_model_reason is None else {**told, "full_model_reason": execution.full_model_reason}

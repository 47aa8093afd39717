"""Analyses of the displayed results: reports and stream ablations, after a change and at an interval."""

from __future__ import annotations

import time
from dataclasses import replace

import structlog

from starlight_exporter.analysis.stream_effects import AblationStudy
from starlight_exporter.evaluation.spec import differences
from starlight_exporter.publish.snapshot import Pair, Snapshot
from starlight_exporter.runs import worker
from starlight_exporter.runs.attempt import Attempt
from starlight_exporter.runs.configuration import ActiveConfiguration, run_request
from starlight_exporter.runs.reports import Reports
from starlight_exporter.runs.runner import BackgroundJob, InThreadTask, Runner
from starlight_exporter.runs.state import State
from starlight_exporter.runs.watcher import Watcher

_log = structlog.get_logger(__name__)


class Analyses:
    """Queues analyses as background jobs and publishes their results."""

    def __init__(
        self, config: ActiveConfiguration, state: State, runner: Runner, watcher: Watcher, reports: Reports
    ) -> None:
        self._config = config
        self._state = state
        self._runner = runner
        self._watcher = watcher
        self._reports = reports

    def after_evaluation(self, pair: Pair) -> None:
        """Write the reports of a dataset, and ablate the model if it has no current ablation.

        An unlabelled dataset has neither.
        """
        self._report(pair[1], again=False)
        self._ablate(pair, again=False)

    def after_model_change(self) -> None:
        """Write the reports of all datasets, because a model was removed or cannot be loaded."""
        for dataset in self._state.snapshot.datasets:
            self._report(dataset, again=False)

    def run_all(self) -> None:
        """Run all analyses again, also those of unchanged results."""
        for dataset in self._state.snapshot.datasets:
            self._report(dataset, again=True)
        for pair in self._state.snapshot.runs:
            self._ablate(pair, again=True)

    def _is_labelled(self, dataset: str) -> bool:
        state = self._state.snapshot.datasets.get(dataset)
        return state is not None and state.labelled

    def _report(self, dataset: str, *, again: bool) -> None:
        if not self._is_labelled(dataset):
            return
        name = f"reports of {dataset}{' again' if again else ''}"
        self._runner.submit_job(InThreadTask(name, lambda: self._reports.write(dataset, again=again)))

    def _ablate(self, pair: Pair, *, again: bool) -> None:
        config, snapshot = self._config.current, self._state.snapshot
        run = snapshot.runs.get(pair)
        if run is None or run.evaluation is None or not self._is_labelled(pair[1]):
            return
        if snapshot.models[pair[0]].role not in config.analyses.ablate:
            return
        # An outdated ablation is removed with the result that it belongs to.
        is_current = run.ablation is not None and not again
        request = run_request(config, pair, "ablation")
        # While the model file is being written, the ablation follows the next result.
        quarantined = snapshot.models[pair[0]].quarantine is not None
        if is_current or quarantined or request is None or self._watcher.is_unsettled(f"model {pair[0]}"):
            return
        self._runner.submit_job(
            BackgroundJob(
                name=f"ablation of {pair[0]} on {pair[1]}",
                function=worker.ablate,
                arguments=(
                    replace(request, expected_sha256=run.evaluation.provenance.model_sha256, faults=run.faults),
                ),
                done=lambda attempt: self._ablated(pair, attempt),
            )
        )

    def _ablated(self, pair: Pair, attempt: Attempt) -> None:
        study = attempt.result if isinstance(attempt.result, AblationStudy) else None

        def publish(old: Snapshot) -> Snapshot:
            run = old.runs.get(pair)
            if run is not None and run.evaluation is not None and study is not None:
                spec = run.evaluation.provenance
                if not differences(study.provenance, spec, "model", "images", "rule", "provider"):
                    old = old.with_run(*pair, replace(run, ablation=study))
            return old.with_analysis("ablation", attempt.outcome, time.time())

        self._state.update(publish)
        if study is None:
            _log.error(
                "ablation failed", model=pair[0], dataset=pair[1], outcome=attempt.outcome, reason=attempt.reason
            )
        else:
            self._report(pair[1], again=False)
            _log.info("ablation finished", model=pair[0], dataset=pair[1], images=study.ablation.images)

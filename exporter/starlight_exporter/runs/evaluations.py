"""Evaluations: from a queued pair to a request, and from a finished run to the analyses that follow it."""

from __future__ import annotations

from starlight_exporter.evaluation.provisional_result import ProvisionalFailure, ProvisionalResult
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.publish.snapshot import Pair
from starlight_exporter.runs.analyses import Analyses
from starlight_exporter.runs.configuration import ActiveConfiguration, run_request
from starlight_exporter.runs.file_changes import FileChanges
from starlight_exporter.runs.finished_run import FinishedRun, RunOutput
from starlight_exporter.runs.pipeline import Pipeline
from starlight_exporter.runs.runner import Runner


class Evaluations:
    """Handler of the runner: see `runner.RunHandler`."""

    def __init__(
        self, config: ActiveConfiguration, files: FileChanges, pipeline: Pipeline, runner: Runner, analyses: Analyses
    ) -> None:
        self._config = config
        self._files = files
        self._pipeline = pipeline
        self._runner = runner
        self._analyses = analyses

    def request(self, pair: Pair, trigger: str) -> RunRequest | None:
        """Return the request for a pair; None if it was removed, is quarantined, or its model file is still written.

        At scheduled times, pairs that are evaluated only after a change are skipped while their last result applies.
        """
        if trigger == "schedule" and self._pipeline.applies_until_changed(pair):
            return None
        if self._pipeline.is_quarantined(pair):
            return None
        if trigger in ("model", "dataset") and self._pipeline.is_up_to_date(pair):
            # The evaluation that was running when the change was detected had read the new files already.
            return None
        if self._files.postpone(pair, trigger):
            return None
        request = run_request(self._config.current, pair, trigger)
        return None if request is None else self._pipeline.with_stored_results(request)

    def started(self, pair: Pair) -> None:
        """Publish the start of a run."""
        self._pipeline.started(pair)

    def progressed(self, pair: Pair, ratio: float) -> None:
        """Publish the progress of a run."""
        self._pipeline.progressed(pair, ratio)

    def sampled(self, request: RunRequest, result: ProvisionalResult | ProvisionalFailure) -> bool:
        """Publish the provisional result of a run, or why it has none; return whether a result is published."""
        return self._pipeline.sampled(request, result)

    def finished(self, run: FinishedRun, output: RunOutput) -> None:
        """Process a finished run, and queue the analyses of its result and the runs that it makes necessary."""
        if self._pipeline.finish(run, output):
            self._analyses.after_evaluation(run.pair)
            if output.result is not None and self._files.is_outdated(output.result.evaluation):
                # The file was replaced and restored while it was loaded.
                self._runner.submit(run.pair, "model")
            for pair in self._pipeline.without_drift_reference(run.pair):
                self._runner.submit(pair, "reference")
            for pair in self._pipeline.timed_with_another_baseline(run.pair):
                self._runner.submit(pair, "baseline")
        elif run.outcome != "cancelled":
            self._analyses.after_model_change()

"""The analyses that the exporter runs on its own: after a model change, and again at an interval."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import structlog

from starlight_exporter.analysis.stream_effects import AblationStudy
from starlight_exporter.config import Config
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.spec import differences
from starlight_exporter.publish.snapshot import Outcome, Pair, Snapshot
from starlight_exporter.runs import worker
from starlight_exporter.runs.reports import Reports
from starlight_exporter.runs.runner import Chore, Errand, Runner
from starlight_exporter.runs.state import State

_log = structlog.get_logger(__name__)


class Analyses:
    """Asks for analyses where a result has none of its own yet, or an old one; publishes what comes of them."""

    def __init__(
        self,
        state: State,
        runner: Runner,
        *,
        config: Callable[[], Config],
        request: Callable[[Pair, str], RunRequest | None],
        reports: Reports,
    ) -> None:
        self._state = state
        self._runner = runner
        self._config = config
        self._request = request
        self._reports = reports

    def after(self, pair: Pair) -> None:
        """A result is in: ablate its model if that has no study, and write the reports once no evaluation is wanted."""
        self._report(pair[1], again=False)
        self._ablate(pair, again=False)

    def after_change_of_models(self) -> None:
        """Models are gone, or a file does not load: write the reports that say so."""
        for dataset in self._state.snapshot.datasets:
            self._report(dataset, again=False)

    def all_again(self) -> None:
        """Everything of every result that is shown, whether it has changed or not."""
        for dataset in self._state.snapshot.datasets:
            self._report(dataset, again=True)
        for pair in self._state.snapshot.runs:
            self._ablate(pair, again=True)

    def _report(self, dataset: str, *, again: bool) -> None:
        name = f"reports of {dataset}{' again' if again else ''}"
        self._runner.run_errand(Chore(name, lambda: self._reports.write(dataset, again=again)))

    def _ablate(self, pair: Pair, *, again: bool) -> None:
        run = self._state.snapshot.runs.get(pair)
        if run is None or run.evaluation is None or self._role(pair) not in self._config().analyses.ablate:
            return
        if run.ablation is not None and not again:
            # One of another file or other images has been dropped with the result that it belonged to.
            return
        request = self._request(pair, "ablation")
        if request is None:
            return
        self._runner.run_errand(
            Errand(
                name=f"ablation of {pair[0]} on {pair[1]}",
                function=worker.ablate,
                arguments=(replace(request, expected_sha256=run.evaluation.provenance.model_sha256),),
                done=lambda outcome, result: self._ablated(pair, outcome, result),
            )
        )

    def _role(self, pair: Pair) -> str:
        return self._state.snapshot.models[pair[0]].role

    def _ablated(self, pair: Pair, outcome: Outcome, result: object) -> None:
        study = result if isinstance(result, AblationStudy) else None

        def change(old: Snapshot) -> Snapshot:
            run = old.runs.get(pair)
            shown = None if run is None else run.evaluation
            if (
                run is not None
                and study is not None
                and shown is not None
                and not differences(study.provenance, shown.provenance, "model", "images", "rule")
            ):
                old = old.with_run(*pair, replace(run, ablation=study))
            return old.with_analysis("ablation", outcome, time.time())

        self._state.update(change)
        if study is not None:
            self._reports.write(pair[1], again=False)
            _log.info("ablation ended", model=pair[0], dataset=pair[1], images=study.ablation.images)
        else:
            reason = " ".join(str(result).split()) or type(result).__name__
            _log.error("ablation failed", model=pair[0], dataset=pair[1], outcome=outcome, reason=reason)

"""Reports of the displayed results: regression report, ablation, comparison with the baseline, model variants."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import structlog

from starlight_exporter.checks.suite import exit_code, run_suite
from starlight_exporter.errors import StarlightError
from starlight_exporter.evaluation.results import Evaluation, RunResult
from starlight_exporter.evaluation.spec import differences
from starlight_exporter.files import write_text
from starlight_exporter.publish.documents import baseline_comparison, model_variants, stream_ablation
from starlight_exporter.publish.documents.model_variants import Variant
from starlight_exporter.publish.documents.slice_tests import dataset_comparison
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.regression_report import report_json, report_name
from starlight_exporter.publish.snapshot import Analysis, RunState, Snapshot
from starlight_exporter.runs.configuration import ActiveConfiguration
from starlight_exporter.runs.state import State
from starlight_exporter.runs.storage import Storage

_log = structlog.get_logger(__name__)


class Reports:
    """Writes `<results>/regression_reports/` and the folder of documents; the outcome of each report is a metric."""

    def __init__(self, state: State, storage: Storage, config: ActiveConfiguration) -> None:
        self._state = state
        self._storage = storage
        self._config = config
        self._written: dict[str, object] = {}

    def write(self, dataset: str, *, again: bool) -> None:
        """Write all reports of a dataset; without `again` only if a result has changed."""
        results = _Results(self._state.snapshot, self._storage.evidence, dataset)
        if not results.displayed or (results.key == self._written.get(dataset) and not again):
            return
        done = [
            self._attempt("ablation", self._ablations(results)),
            self._attempt("regression", self._regression_reports(results)),
            self._attempt("comparison", self._baseline_comparisons(results)),
            self._attempt("variants", self._variants(results)),
        ]
        # A failed report is written again after the next result.
        if all(done):
            self._written[dataset] = results.key

    def _attempt(self, analysis: Analysis, documents: Iterator[tuple[Path, str]]) -> bool:
        written = False
        try:
            for file, text in documents:
                write_text(file, text)
                written = True
        except (StarlightError, OSError) as error:
            _log.error("report not written", analysis=analysis, reason=str(error))
            self._state.update(lambda s: s.with_analysis(analysis, "error", time.time()))
            return False
        # An ablation is counted when it has finished.
        if written and analysis != "ablation":
            self._state.update(lambda s: s.with_analysis(analysis, "success", time.time()))
        return True

    def _ablations(self, results: _Results) -> Iterator[tuple[Path, str]]:
        for model, run in results.runs.items():
            if run.ablation is not None:
                yield (
                    self._document(f"stream_ablation_{model}_{results.dataset}"),
                    stream_ablation.document(run.ablation),
                )

    def _regression_reports(self, results: _Results) -> Iterator[tuple[Path, str]]:
        config = self._config.current
        folder, limits = config.paths.results / "regression_reports", config.checks.limits()
        for _, run, evaluation in results.of_role("production"):
            used = None if run.basis is None else run.basis.baseline
            tests = run_suite(run.checks, limits.disabled | limits.informational)
            code = exit_code(evaluation, tests)
            yield folder / report_name(evaluation), report_json(evaluation, tests, used.name if used else "", code)

    def _baseline_comparisons(self, results: _Results) -> Iterator[tuple[Path, str]]:
        for other, evaluation in self._compared(results):
            if not differences(other.provenance, evaluation.provenance, "model") or differences(
                other.provenance, evaluation.provenance, "images"
            ):
                continue
            before, after = results.evidence.find(other.id), results.evidence.find(evaluation.id)
            if before is None or after is None:
                continue
            compared = dataset_comparison(
                RunResult(other, results.evidence.predictions(before), None),
                RunResult(evaluation, results.evidence.predictions(after), None),
                same_rule=False,
            )
            yield (
                self._document(f"baseline_comparison_{other.model}_{evaluation.model}_{results.dataset}"),
                baseline_comparison.document([compared], results.runs[evaluation.model].ablation),
            )

    def _compared(self, results: _Results) -> Iterator[tuple[Evaluation, Evaluation]]:
        """Yield the pairs of results for the comparison report: before and after."""
        configured = self._config.current.analyses.comparison
        if configured is not None:
            before, after = results.displayed.get(configured.before), results.displayed.get(configured.after)
            if before is not None and after is not None:
                yield before, after
            return
        for _, _, after in results.of_role("production"):
            for _, _, before in results.of_role("baseline"):
                yield before, after

    def _variants(self, results: _Results) -> Iterator[tuple[Path, str]]:
        # Only results on the same images are ranked.
        newest = max(results.displayed.values(), key=lambda one: one.finished_at)
        variants, outdated = [], []
        for evaluation in results.displayed.values():
            if differences(newest.provenance, evaluation.provenance, "images"):
                outdated.append(_not_measured(evaluation.model, "not yet on these images"))
                continue
            entry = results.evidence.find(evaluation.id)
            if entry is not None:
                origin = evaluation.origin
                title = "" if origin is None else origin.title if origin.own_card else origin.describe()
                predictions = results.evidence.predictions(entry)
                result = RunResult(evaluation, predictions, None)
                variants.append(Variant(evaluation.model, title, result, None, has_card=origin is not None))
        if variants:
            broken = [
                _not_measured(name, f"its file cannot be loaded, {reason}")
                for name, reason in results.load_failures.items()
            ]
            yield (
                self._document(f"model_variants_{results.dataset}"),
                model_variants.document([*variants, *outdated, *broken]),
            )

    def _document(self, name: str) -> Path:
        return self._config.current.documents() / f"{name}.md"


class _Results:
    """The displayed results on one dataset."""

    def __init__(self, snapshot: Snapshot, evidence: Evidence, dataset: str) -> None:
        self.snapshot = snapshot
        self.evidence = evidence
        self.dataset = dataset
        self.runs = {model: run for (model, name), run in snapshot.runs.items() if name == dataset}
        self.displayed = {model: run.evaluation for model, run in self.runs.items() if run.evaluation is not None}

    @property
    def load_failures(self) -> dict[str, str]:
        """Models without a result because they cannot be loaded, with the reasons."""
        models = (self.snapshot.models[name] for name in self.runs if name not in self.displayed)
        return {model.name: str(model.last_failure) for model in models if model.last_load_successful is False}

    @property
    def key(self) -> object:
        """Changes when the reports have to be written again."""
        specs = {model: (one.provenance, one.origin) for model, one in self.displayed.items()}
        ablations = tuple(run.ablation.finished_at for run in self.runs.values() if run.ablation is not None)
        return specs, self.load_failures, ablations

    def of_role(self, role: str) -> Iterator[tuple[str, RunState, Evaluation]]:
        """Yield name, state and result of each model with a role."""
        for model, evaluation in self.displayed.items():
            if self.snapshot.models[model].role == role:
                yield model, self.runs[model], evaluation


def _not_measured(model: str, reason: str) -> Variant:
    return Variant(model, "", None, f"not measured: {reason}")

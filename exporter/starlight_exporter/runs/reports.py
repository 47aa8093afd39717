"""What the exporter writes down of its own results: the regression suite's report, ablation, comparison, variants.

The last outcome of each is a metric.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import structlog

from starlight_exporter.analysis.comparison import compare, flips
from starlight_exporter.checks.suite import run_suite
from starlight_exporter.config import Config
from starlight_exporter.errors import StarlightError
from starlight_exporter.evaluation.results import Evaluation, Prediction
from starlight_exporter.evaluation.spec import differences
from starlight_exporter.files import write_text
from starlight_exporter.publish.documents import baseline_comparison, model_variants, stream_ablation
from starlight_exporter.publish.documents.baseline_comparison import OnDataset
from starlight_exporter.publish.documents.model_variants import Variant
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.regression_report import report_json, report_name
from starlight_exporter.publish.retention import Entry
from starlight_exporter.publish.snapshot import Analysis, Snapshot
from starlight_exporter.runs.state import State

_log = structlog.get_logger(__name__)


class Reports:
    """Writes `<results>/regression_reports/` and the folder of documents, each file whole or not at all."""

    def __init__(self, state: State, *, config: Callable[[], Config], evidence: Callable[[], Evidence]) -> None:
        self._state = state
        self._config = config
        self._evidence = evidence
        self._written: dict[str, object] = {}

    def write(self, dataset: str, *, again: bool) -> None:
        """Everything about one dataset; of the same results only `again`."""
        snapshot = self._state.snapshot
        shown = {m: run.evaluation for (m, d), run in snapshot.runs.items() if d == dataset and run.evaluation}
        broken = _without_a_file(snapshot, dataset)
        key = {m: (one.provenance, one.origin) for m, one in shown.items()}, broken, self._ablated(snapshot, dataset)
        if not shown or (key == self._written.get(dataset) and not again):
            return
        done = [
            self._attempt("ablation", lambda: self._ablations(snapshot, dataset)),
            self._attempt("regression", lambda: self._regression(snapshot, dataset)),
            self._attempt("comparison", lambda: self._comparison(snapshot, dataset)),
            self._attempt("variants", lambda: self._variants(shown.values(), broken, dataset)),
        ]
        # What failed is tried again with the next result.
        if all(done):
            self._written[dataset] = key

    def _attempt(self, analysis: Analysis, work: Callable[[], bool]) -> bool:
        try:
            written = work()
        except (StarlightError, OSError) as error:
            _log.error("report not written", analysis=analysis, reason=str(error))
            self._state.update(lambda s: s.with_analysis(analysis, "error", time.time()))
            return False
        if written:
            self._state.update(lambda s: s.with_analysis(analysis, "success", time.time()))
        return True

    def _regression(self, snapshot: Snapshot, dataset: str) -> bool:
        folder = self._config().paths.results / "regression_reports"
        baseline = str(self._config().baseline or "")
        written = False
        for (model, name), run in snapshot.runs.items():
            if name == dataset and run.evaluation is not None and snapshot.models[model].role == "production":
                write_text(
                    folder / report_name(run.evaluation), report_json(run.evaluation, run_suite(run.checks), baseline)
                )
                written = True
        return written

    def _comparison(self, snapshot: Snapshot, dataset: str) -> bool:
        written = False
        for (model, name), run in snapshot.runs.items():
            if name != dataset or run.evaluation is None or snapshot.models[model].role != "production":
                continue
            for against in (b for b, state in snapshot.models.items() if state.role == "baseline"):
                other = snapshot.runs[against, dataset].evaluation
                if other is None or differences(other.provenance, run.evaluation.provenance, "images", "rule"):
                    continue
                old, new = self._entry(other), self._entry(run.evaluation)
                if old is None or new is None:
                    continue
                before, after = self._evidence().predictions(old), self._evidence().predictions(new)
                result = OnDataset(
                    other,
                    run.evaluation,
                    compare(other, before, run.evaluation, after, against=against),
                    flips(before, after),
                )
                file = self._document(f"baseline_comparison_{against}_{model}_{dataset}")
                write_text(file, baseline_comparison.document([result], run.ablation))
                written = True
        return written

    def _ablations(self, snapshot: Snapshot, dataset: str) -> bool:
        for (model, name), run in snapshot.runs.items():
            if name == dataset and run.ablation is not None:
                write_text(self._document(f"stream_ablation_{model}_{dataset}"), stream_ablation.document(run.ablation))
        # Counted already when the study ended.
        return False

    def _variants(self, shown: Collection[Evaluation], broken: Mapping[str, str], dataset: str) -> bool:
        # Ranks are of one set of images: a model that still shows a result on older ones is not among them.
        newest = max(shown, key=lambda one: one.finished_at)
        variants, later = [], []
        for one in shown:
            if differences(newest.provenance, one.provenance, "images"):
                later.append(_unmeasured(one.model, "not yet on these images"))
                continue
            entry = self._entry(one)
            if entry is not None:
                variants.append(_variant(one, self._evidence().predictions(entry)))
        if variants:
            variants += [
                *later,
                *(_unmeasured(name, f"its file cannot be loaded, {why}") for name, why in broken.items()),
            ]
            write_text(self._document(f"model_variants_{dataset}"), model_variants.document(variants))
        return bool(variants)

    def _entry(self, evaluation: Evaluation) -> Entry | None:
        return self._evidence().find(evaluation.id)

    def _document(self, name: str) -> Path:
        return self._config().documents() / f"{name}.md"

    @staticmethod
    def _ablated(snapshot: Snapshot, dataset: str) -> tuple[float, ...]:
        return tuple(
            run.ablation.finished_at
            for (_, d), run in snapshot.runs.items()
            if d == dataset and run.ablation is not None
        )


def _variant(evaluation: Evaluation, predictions: tuple[Prediction, ...]) -> Variant:
    origin = evaluation.origin
    title = "" if origin is None else origin.title if origin.own_card else origin.describe()
    return Variant(evaluation.model, title, evaluation, predictions, None, has_card=origin is not None)


def _unmeasured(model: str, why: str) -> Variant:
    return Variant(model, "", None, (), f"not measured: {why}")


def _without_a_file(snapshot: Snapshot, dataset: str) -> dict[str, str]:
    """Models that have no result on the dataset because their files do not load, and why they do not."""
    models = (
        snapshot.models[model]
        for (model, name), run in snapshot.runs.items()
        if name == dataset and run.evaluation is None
    )
    return {model.name: str(model.last_failure) for model in models if model.last_load_successful is False}

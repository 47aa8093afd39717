"""One snapshot → metric families, afresh for every scrape. Nothing here computes; a number that is missing stays so."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping

import structlog
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample

from starlight_exporter.analysis.source_gaps import dataset_gaps, format_gaps
from starlight_exporter.errors import MODEL_FAILURE_REASONS
from starlight_exporter.evaluation.latency import LATENCY_BUCKETS
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.publish import metrics, series
from starlight_exporter.publish.exposition import number_text
from starlight_exporter.publish.histogram import StageHistogram
from starlight_exporter.publish.metrics import FAMILIES, Family
from starlight_exporter.publish.series import Row, optional, short_hash
from starlight_exporter.publish.snapshot import ANALYSES, OUTCOMES, STORES, AnalysisState, Snapshot

_log = structlog.get_logger(__name__)

_BUCKET_LABELS = tuple(number_text(bound) for bound in (*LATENCY_BUCKETS, math.inf))


def _exporter(snapshot: Snapshot) -> Iterator[Row]:
    build = snapshot.build
    yield Row(metrics.BUILD_INFO, (build.version, build.revision, build.python, build.onnxruntime), 1)
    yield Row(metrics.CONFIG_RELOAD_SUCCESSFUL, (), int(snapshot.config.successful))
    yield Row(metrics.CONFIG_RELOAD_SUCCESS_TIMESTAMP, (), snapshot.config.success_at)
    for store in STORES:
        yield Row(metrics.STORAGE_FAILURES, (store,), snapshot.storage_failures.get(store, 0))
        yield from optional(metrics.STORAGE_FREE, (store,), snapshot.storage_free_bytes.get(store))
        yield from optional(metrics.STORAGE_SIZE, (store,), snapshot.storage_size_bytes.get(store))
    yield Row(metrics.EVALUATIONS_QUEUED, (), snapshot.queued)
    yield from optional(metrics.HISTORY_DAMAGED_LINES, (), snapshot.history_damaged_lines)


def _models(snapshot: Snapshot) -> Iterator[Row]:
    for model in snapshot.models.values():
        labels = (model.name,)
        sha256 = short_hash(model.sha256 or "")
        yield Row(metrics.MODEL_INFO, (model.name, model.role, sha256, model.file, model.decision), 1)
        if model.file_sha256 is not None:
            yield Row(metrics.MODEL_FILE_INFO, (model.name, short_hash(model.file_sha256)), 1)
        yield from optional(metrics.MODEL_LAST_LOAD_SUCCESSFUL, labels, model.last_load_successful)
        yield from optional(metrics.MODEL_MODIFIED_TIMESTAMP, labels, model.modified_at)
        yield from optional(metrics.MODEL_LOADED_TIMESTAMP, labels, model.loaded_at)
        yield from optional(metrics.MODEL_SIZE, labels, model.size_bytes)
        for reason in MODEL_FAILURE_REASONS:
            yield Row(metrics.MODEL_LOAD_FAILURES, (model.name, reason), model.load_failures.get(reason, 0))


def _runs(snapshot: Snapshot) -> Iterator[Row]:
    for pair, run in snapshot.runs.items():
        for outcome in OUTCOMES:
            yield Row(metrics.EVALUATIONS, (*pair, outcome), run.outcomes.get(outcome, 0))
        yield from optional(metrics.EVALUATION_LAST_RUN_SUCCESSFUL, pair, run.last_run_successful)
        yield Row(metrics.EVALUATION_IN_PROGRESS, pair, int(run.in_progress))
        if run.in_progress:
            yield from optional(metrics.EVALUATION_PROGRESS, pair, run.progress)
            yield from optional(metrics.EVALUATION_REMAINING, pair, run.remaining_seconds)
        yield from optional(metrics.EVALUATION_INTERVAL, pair, run.interval_seconds)
        if run.evaluation is not None:
            yield from series.run_rows(run.evaluation)


def _accuracy(snapshot: Snapshot) -> Iterator[Row]:
    for evaluation in snapshot.evaluations():
        yield from series.accuracy_rows(evaluation)


def _latency(snapshot: Snapshot) -> Iterator[Row]:
    for model in snapshot.models.values():
        for stage, histogram in model.latency.stages.items():
            yield from _histogram_rows((model.name, stage), histogram)
    for evaluation in snapshot.evaluations():
        yield from series.latency_rows(evaluation)


def _histogram_rows(labels: tuple[str, ...], histogram: StageHistogram) -> Iterator[Row]:
    seen = 0
    for le, count in zip(_BUCKET_LABELS, histogram.counts, strict=True):
        seen += count
        yield Row(metrics.INFERENCE_DURATION, labels, seen, "_bucket", le)
    yield Row(metrics.INFERENCE_DURATION, labels, seen, "_count")
    yield Row(metrics.INFERENCE_DURATION, labels, histogram.sum_seconds, "_sum")


def _data(snapshot: Snapshot) -> Iterator[Row]:
    for dataset in snapshot.datasets.values():
        yield from optional(metrics.DATASET_CHANGED_TIMESTAMP, (dataset.name,), dataset.changed_at)
    for evaluation in _newest(snapshot, lambda evaluation: evaluation.dataset):
        yield from series.dataset_rows(evaluation)
    evaluations = snapshot.evaluations()
    for evaluation in evaluations:
        yield from series.leakage_rows(evaluation)
        yield from series.gap_rows(format_gaps(evaluation))
    yield from series.gap_rows(dataset_gaps(evaluations))


def _training(snapshot: Snapshot) -> Iterator[Row]:
    for evaluation in _newest(snapshot, lambda evaluation: evaluation.model):
        yield from series.training_rows(evaluation)


def _newest(snapshot: Snapshot, key: Callable[[Evaluation], str]) -> list[Evaluation]:
    """Several evaluations tell of the same dataset or model; the series have room for one, so the newest counts."""
    newest: dict[str, Evaluation] = {}
    for evaluation in snapshot.evaluations():
        known = newest.get(key(evaluation))
        if known is None or evaluation.finished_at > known.finished_at:
            newest[key(evaluation)] = evaluation
    return list(newest.values())


def _baseline(snapshot: Snapshot) -> Iterator[Row]:
    for model in snapshot.models.values():
        if model.baseline is not None:
            yield from series.baseline_rows(model.name, model.baseline)


def _checks(snapshot: Snapshot) -> Iterator[Row]:
    for (model, dataset), run in snapshot.runs.items():
        for check in run.checks:
            if check.passed is not None:
                labels = (model, dataset, check.name, check.slice)
                yield Row(metrics.REGRESSION_CHECK_PASSED, labels, int(check.passed))


def _comparisons(snapshot: Snapshot) -> Iterator[Row]:
    for pair, run in snapshot.runs.items():
        for comparison in run.comparisons:
            yield from series.comparison_rows(*pair, comparison)


def _analyses(snapshot: Snapshot) -> Iterator[Row]:
    for run in snapshot.runs.values():
        if run.ablation is not None:
            yield from series.ablation_rows(run.ablation)
    for analysis in ANALYSES:
        state = snapshot.analyses.get(analysis, AnalysisState())
        for outcome in OUTCOMES:
            yield Row(metrics.ANALYSIS_RUNS, (analysis, outcome), state.outcomes.get(outcome, 0))
        yield from optional(metrics.ANALYSIS_SUCCESSFUL, (analysis,), state.last_run_successful)
        yield from optional(metrics.ANALYSIS_TIMESTAMP, (analysis,), state.succeeded_at)


SECTIONS: Mapping[str, Callable[[Snapshot], Iterator[Row]]] = {
    "exporter": _exporter,
    "models": _models,
    "runs": _runs,
    "accuracy": _accuracy,
    "latency": _latency,
    "data": _data,
    "training": _training,
    "baseline": _baseline,
    "checks": _checks,
    "comparisons": _comparisons,
    "analyses": _analyses,
}


class StarlightCollector:
    """Turns the current snapshot into families; `snapshot` is called exactly once per scrape.

    A section that cannot be built is left out, logged and counted: the scrape and the other sections survive.
    """

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot
        self._errors = dict.fromkeys(("snapshot", *SECTIONS), 0)
        self._lock = threading.Lock()

    def describe(self) -> list[Metric]:
        """Every family without samples: the registry needs the names for `name[]` and to refuse clashes."""
        return [_metric(family) for family in FAMILIES]

    def collect(self) -> Iterator[Metric]:
        """The families that have samples, in the order of the table."""
        samples: dict[Family, list[Sample]] = {}
        for section, rows in self._rows():
            try:
                built = [(row.family, _sample(row)) for row in rows()]
            # A scrape is a process boundary: whatever went wrong in one section must not take the others along.
            except Exception:  # noqa: BLE001
                self._failed(section)
                continue
            for family, sample in built:
                samples.setdefault(family, []).append(sample)
        with self._lock:
            errors = dict(self._errors)
        for section, count in errors.items():
            row = Row(metrics.COLLECTOR_ERRORS, (section,), count)
            samples.setdefault(row.family, []).append(_sample(row))
        for family in FAMILIES:
            if family in samples:
                metric = _metric(family)
                metric.samples = samples[family]
                yield metric

    def _rows(self) -> list[tuple[str, Callable[[], Iterator[Row]]]]:
        try:
            snapshot = self._snapshot()
        # The same boundary: without a snapshot there still is a count of what went wrong.
        except Exception:  # noqa: BLE001
            self._failed("snapshot")
            return []

        def bound(build: Callable[[Snapshot], Iterator[Row]]) -> Callable[[], Iterator[Row]]:
            return lambda: build(snapshot)

        return [(section, bound(build)) for section, build in SECTIONS.items()]

    def _failed(self, section: str) -> None:
        with self._lock:
            self._errors[section] += 1
        _log.exception("metrics section left out", section=section)


def build_registry(snapshot: Callable[[], Snapshot]) -> CollectorRegistry:
    """A registry of its own: the exporter's families, and those of process, platform and garbage collector."""
    registry = CollectorRegistry()
    registry.register(StarlightCollector(snapshot))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def _metric(family: Family) -> Metric:
    return Metric(family.base_name, family.help, family.kind)


def _sample(row: Row) -> Sample:
    family = row.family
    labels = dict(zip(family.labels, row.labels, strict=True))
    if row.le is not None:
        labels["le"] = row.le
    return Sample(family.name + row.suffix, labels, row.value)

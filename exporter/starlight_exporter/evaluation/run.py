"""Run an evaluation: one model on one dataset."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import compress
from pathlib import Path
from typing import Final

from starlight_exporter.activity import NO_ACTIVITY, Activity
from starlight_exporter.dataset.cache import CacheUsage
from starlight_exporter.dataset.dataset import Dataset, FileProblem, LabelledFile
from starlight_exporter.dataset.facts import FactCollector, FactTable
from starlight_exporter.dataset.layout import scan
from starlight_exporter.dataset.shortcuts import find_shortcuts
from starlight_exporter.dataset.unlabelled import scan_unlabelled
from starlight_exporter.detector.model import Detector
from starlight_exporter.errors import EvaluationError, ModelError
from starlight_exporter.evaluation.accuracy import accuracy
from starlight_exporter.evaluation.applied_rule import applied_rule, replaced_rule, rule_warnings, with_applied_rule
from starlight_exporter.evaluation.bulk import BatchPredictor, predict_all
from starlight_exporter.evaluation.drift import MAX_REFERENCE_IMAGES, DriftSample, drift_sample, measure_drift
from starlight_exporter.evaluation.embedding_results import EmbeddingResult, Projection
from starlight_exporter.evaluation.embedding_table import EmbeddingCollector, EmbeddingTable, sampled_paths
from starlight_exporter.evaluation.embeddings import measure_embeddings
from starlight_exporter.evaluation.figures import figures
from starlight_exporter.evaluation.image_source import ImageSource, open_cache
from starlight_exporter.evaluation.latency import measure_latency, measure_latency_pair, repeats_needed, summarise
from starlight_exporter.evaluation.payload import by_payload
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.progress import Progress, ProgressReporter
from starlight_exporter.evaluation.quality import measure_quality
from starlight_exporter.evaluation.request import FileFault, RunRequest
from starlight_exporter.evaluation.results import (
    Evaluation,
    Execution,
    LatencyObservations,
    ModelFacts,
    Provenance,
    RunResult,
)
from starlight_exporter.evaluation.scorers import SelectedScorer, select_scorer
from starlight_exporter.evaluation.spec import current_spec
from starlight_exporter.evaluation.timing import TimedDetector
from starlight_exporter.evaluation.unlabelled import UnlabelledResult, unlabelled_result
from starlight_exporter.models.cards import model_in
from starlight_exporter.models.records import read_records
from starlight_exporter.models.training_files import leaked_images
from starlight_exporter.statistics.latency_ratio import LatencyRatio, latency_ratio

_NOT_COMPARED: Final = "latency not compared with the baseline model"


def evaluate(request: RunRequest, *, progress: Progress | None = None, activity: Activity = NO_ACTIVITY) -> RunResult:
    """Load the model, scan the dataset, predict every image, then time a sample of them.

    If the request has a baseline model, both models are timed alternately; without a usable baseline model, the result
    has a warning instead of a latency ratio.
    The same model, data and seed give the same results for any number of threads, except for times and the id. Raise
    ModelError or DatasetError if the model or dataset cannot be used, and EvaluationError if the run fails.
    """
    started, clock = time.time(), time.perf_counter()
    if request.threads < 1 or request.latency_sample < 0 or request.seed < 0:
        raise EvaluationError(f"{_title(request)}: expected at least 1 thread and no negative latency sample or seed")
    if request.unlabelled is not None:
        # Incoming images are not a sample that latencies could be compared on.
        request = replace(request, latency_sample=0, baseline=None)
    with activity.during("load"):
        detector = load_detector(request)
    requested, request = request.decision, with_applied_rule(request, detector)
    dataset = scan_dataset(request, activity)
    measurable = sum(file.problem is None for file in dataset.files)
    reporter = ProgressReporter(
        progress,
        request.progress_file,
        total=len(dataset.files) + _latency_calls(request, measurable),
        fingerprint=dataset.fingerprint,
    )
    reporter.report(0)
    bulk = _predict(request, detector, dataset, reporter, activity)
    measured = list(compress(dataset.files, bulk.predictions.measured))
    latency = _latency(
        request,
        detector,
        dataset.root,
        measured,
        # Fewer images may be measured than expected, and then each is repeated more often.
        progress=lambda done, calls: reporter.report(
            len(dataset.files) + _latency_calls(request, measurable) * done // max(1, calls)
        ),
        activity=activity,
    )
    records = read_records(
        request.model_path, detector.sha256, training_log=request.training_log, models_dir=request.models_dir
    )
    reporter.finish()
    counts = accuracy(bulk.predictions)
    embeddings, projection = _embeddings(request, detector, bulk)
    evaluation = Evaluation(
        id=_new_id(started),
        model=request.model,
        role=request.role,
        dataset=request.dataset,
        trigger=request.trigger,
        provenance=provenance(request, detector, dataset),
        model_facts=ModelFacts(
            file=str(request.model_path),
            size_bytes=detector.size_bytes,
            modified_at=detector.modified_at,
            loaded_at=detector.loaded_at,
            inputs=detector.input_names,
            outputs=detector.output_names,
        ),
        started_at=started,
        finished_at=time.time(),
        duration_seconds=time.perf_counter() - clock,
        images=len(dataset.files),
        images_per_second=len(measured) / bulk.seconds,
        not_measured=counts.not_measured,
        clean=counts.clean,
        clean_by_format=counts.clean_by_format,
        negatives=counts.negatives,
        stego=counts.stego,
        detections=counts.detections,
        confusion=counts.confusion,
        roc_auc=counts.roc_auc,
        log_loss=counts.log_loss,
        expected_calibration_error=counts.expected_calibration_error,
        operating_points=counts.operating_points,
        latency=None if latency.observations is None else summarise(latency.observations),
        latency_ratio=latency.ratio,
        quality=measure_quality(bulk.predictions, ignored_files=dataset.ignored_files),
        shortcuts={} if request.unlabelled is not None else find_shortcuts(bulk.facts, seed=request.seed),
        leaked_images=None
        if records.manifest is None or request.unlabelled is not None
        else leaked_images(bulk.predictions.content_prefixes(), records.manifest),
        training=records.training,
        origin=records.origin,
        execution=bulk.execution,
        payload=None if request.unlabelled is not None else by_payload(bulk.predictions),
        figures=None if request.unlabelled is not None else figures(bulk.predictions, seed=request.seed),
        unlabelled=_unlabelled(request, detector, dataset, bulk),
        embeddings=embeddings,
        replaced_decision=replaced_rule(requested, request.decision),
    )
    return RunResult(
        evaluation=evaluation,
        predictions=bulk.predictions,
        latency=latency.observations,
        warnings=(
            *rule_warnings(detector, requested),
            *records.problems,
            *reporter.warnings,
            *_cache_warnings(bulk.execution),
            *latency.warnings,
        ),
        drift_sample=_reference_sample(request, bulk),
        projection=projection,
    )


def scan_dataset(request: RunRequest, activity: Activity) -> Dataset:
    """Scan the dataset of a request, without opening the files that its faults exclude. Raise DatasetError."""
    excluded = file_problems(request.faults)
    if request.unlabelled is not None:
        return scan_unlabelled(
            request.dataset,
            request.dataset_root,
            request.unlabelled.window,
            max_file_bytes=request.limits.max_file_bytes,
            excluded=excluded,
            activity=activity,
        )
    return scan(
        request.dataset,
        request.dataset_root,
        max_file_bytes=request.limits.max_file_bytes,
        excluded=excluded,
        activity=activity,
    )


def file_problems(faults: Iterable[FileFault]) -> dict[str, FileProblem]:
    """Return the problems of the files that must not be opened."""
    # Files that fail later keep their hash, so that the fingerprint does not depend on the faults of a run.
    return {
        fault.path: FileProblem(fault.reason, fault.detail.removeprefix(f"{fault.path}: "))
        for fault in faults
        if fault.phase == "scan"
    }


def load_detector(request: RunRequest) -> Detector:
    """Load the model of a request. Raise ModelError if it cannot be used."""
    try:
        return Detector.load(
            request.model_path,
            expected_sha256=request.expected_sha256,
            root=request.model_root,
            providers=request.providers,
        )
    except ModelError as error:
        raise _with_problem_of_card(error, request) from error


def _with_problem_of_card(error: ModelError, request: RunRequest) -> ModelError:
    """Add why the card of a research model without a file cannot be used: it may name another file."""
    if error.reason != "missing" or request.model_root is None:
        return error
    problem = model_in(request.model_path.parent).problem
    return error if problem is None else ModelError(f"{problem}; {error}", reason=error.reason)


def provenance(request: RunRequest, detector: Detector, dataset: Dataset) -> Provenance:
    """Return the hashes, decision rule, versions and seed of a run."""
    spec = current_spec(
        model_sha256=detector.sha256,
        dataset_fingerprint=dataset.fingerprint,
        decision=request.decision.describe(),
        providers=detector.providers,
    )
    return Provenance(**asdict(spec), seed=request.seed)


@dataclass(frozen=True, slots=True)
class _BulkResult:
    predictions: PredictionTable
    facts: FactTable
    embeddings: EmbeddingTable
    execution: Execution
    seconds: float


def _unlabelled(
    request: RunRequest, detector: Detector, dataset: Dataset, bulk: _BulkResult
) -> UnlabelledResult | None:
    if request.unlabelled is None:
        return None
    sample = drift_sample(bulk.predictions, bulk.facts, "unlabelled", seed=request.seed)
    drift = measure_drift(request.unlabelled.drift_reference, sample, provenance(request, detector, dataset))
    return unlabelled_result(bulk.predictions, images_outside_window=dataset.files_outside_window, drift=drift)


def _reference_sample(request: RunRequest, bulk: _BulkResult) -> DriftSample | None:
    if request.unlabelled is not None:
        return None
    return drift_sample(bulk.predictions, bulk.facts, "clean", seed=request.seed, limit=MAX_REFERENCE_IMAGES)


def _embeddings(
    request: RunRequest, detector: Detector, bulk: _BulkResult
) -> tuple[EmbeddingResult | None, Projection | None]:
    if request.unlabelled is not None:
        return None, None
    return measure_embeddings(bulk.predictions, bulk.embeddings, detector.embedding_problem, seed=request.seed)


def _predict(
    request: RunRequest, detector: Detector, dataset: Dataset, reporter: ProgressReporter, activity: Activity
) -> _BulkResult:
    start = time.perf_counter()
    limits, files = request.limits, dataset.files
    sample = sampled_paths(files, seed=request.seed)
    facts, embeddings = FactCollector(sample), EmbeddingCollector(sample)
    cache = open_cache(request.cache, files)
    selected = select_scorer(
        detector,
        request.decision,
        dataset.root,
        files,
        limits=limits,
        seed=request.seed,
        faults=request.faults,
        activity=activity,
    )
    predictor = BatchPredictor(
        ImageSource(dataset.root, limits, cache, faults=request.faults, activity=activity),
        selected.scorer,
        request.decision,
        image_seconds=limits.image_seconds,
        facts=facts,
        embeddings=embeddings,
        activity=activity,
    )
    try:
        predictions = predict_all(
            predictor,
            files,
            threads=request.threads,
            batch=request.batch,
            progress=lambda done, _: reporter.report(done),
        )
    except EvaluationError as error:
        raise EvaluationError(f"{_title(request)}: {error}") from error
    finally:
        # The next run can use the images that a failed run has decoded.
        cache_use = None if cache is None else cache.publish()
    seconds = time.perf_counter() - start
    execution = _execution(selected, cache_use, sum(file.problem is None for file in files))
    table = (
        PredictionTable.of(predictions)
        if request.predictions_file is None
        else PredictionTable.write(request.predictions_file, predictions)
    )
    return _BulkResult(table, facts.table(), embeddings.table(), execution, seconds)


@dataclass(frozen=True, slots=True)
class _LatencyResult:
    observations: LatencyObservations | None
    ratio: LatencyRatio | None = None
    warnings: tuple[str, ...] = ()


def _latency(
    request: RunRequest,
    detector: Detector,
    root: Path,
    files: Sequence[LabelledFile],
    *,
    progress: Progress,
    activity: Activity,
) -> _LatencyResult:
    model = TimedDetector(detector, request.decision, root, request.limits, activity)
    if request.baseline is None or request.latency_sample == 0:
        return _LatencyResult(_single_latency(request, model, files, progress))
    try:
        with activity.during("load", str(request.baseline.path)):
            other = Detector.load(request.baseline.path, providers=request.providers)
    except ModelError as error:
        return _LatencyResult(
            _single_latency(request, model, files, progress),
            warnings=(f"{_NOT_COMPARED}: {error}",),
        )
    rule = applied_rule(other, request.baseline.decision)
    baseline = TimedDetector(other, rule, root, request.limits, activity)
    pair = measure_latency_pair(
        model, baseline, files, sample=request.latency_sample, seed=request.seed, progress=progress
    )
    if pair.model.wall.size == 0:
        text = f"{_NOT_COMPARED}: {request.baseline.path}: no image was timed with both models"
        return _LatencyResult(pair.observations, warnings=(text,))
    try:
        ratio = latency_ratio(pair.model, pair.baseline, baseline_sha256=other.sha256, seed=request.seed)
    except ValueError as error:
        return _LatencyResult(pair.observations, warnings=(f"{_NOT_COMPARED}: {error}",))
    return _LatencyResult(pair.observations, ratio)


def _single_latency(
    request: RunRequest, model: TimedDetector, files: Sequence[LabelledFile], progress: Progress
) -> LatencyObservations | None:
    return measure_latency(model, files, sample=request.latency_sample, seed=request.seed, progress=progress)


def _latency_calls(request: RunRequest, images: int) -> int:
    """Return the number of timed calls that are expected for the progress of the run."""
    chosen = min(request.latency_sample, images)
    if request.baseline is None:
        return chosen
    return 2 * chosen * repeats_needed(request.latency_sample, chosen)


def _execution(selected: SelectedScorer, use: CacheUsage | None, images: int) -> Execution:
    return Execution(
        full_model_reason=selected.full_model_reason,
        cached_images=0 if use is None else use.hits,
        decoded_images=images if use is None else images - use.hits,
        cache_bytes=None if use is None else use.bytes,
        cache_problem=None if use is None else use.problem,
        batch=selected.batch,
    )


def _cache_warnings(execution: Execution) -> tuple[str, ...]:
    if execution.cache_problem is None:
        return ()
    return (f"decoded images were not cached, the next run takes longer: {execution.cache_problem}",)


def _new_id(started: float) -> str:
    """Return an id that sorts by time and is safe in paths and URLs."""
    return f"{datetime.fromtimestamp(started, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def _title(request: RunRequest) -> str:
    return f"{request.model} on {request.dataset}"

"""Run an evaluation: one model on one dataset."""

from __future__ import annotations

import secrets
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from starlight_exporter.activity import NO_ACTIVITY, Activity
from starlight_exporter.dataset.cache import folder_bytes
from starlight_exporter.dataset.dataset import ScannedDataset
from starlight_exporter.dataset.engine import Engine
from starlight_exporter.dataset.facts import FactTable
from starlight_exporter.dataset.generator import generator_version
from starlight_exporter.dataset.layout import SCAN_THREADS, scan_listing
from starlight_exporter.dataset.listing import Listing, list_labelled, list_unlabelled
from starlight_exporter.dataset.shortcuts import find_shortcuts
from starlight_exporter.dataset.sources.opening import open_source
from starlight_exporter.detector.model import Detector
from starlight_exporter.detector.portable import PortableScorer
from starlight_exporter.errors import EngineError, EvaluationError, ModelError
from starlight_exporter.evaluation.accuracy import accuracy
from starlight_exporter.evaluation.applied_rule import replaced_rule, rule_warnings, with_applied_rule
from starlight_exporter.evaluation.bulk import BulkPass
from starlight_exporter.evaluation.drift import MAX_REFERENCE_IMAGES, DriftSample, drift_sample, measure_drift
from starlight_exporter.evaluation.embedding_results import EmbeddingResult, Projection
from starlight_exporter.evaluation.embedding_table import EmbeddingTable, sampled_numbers
from starlight_exporter.evaluation.embeddings import measure_embeddings
from starlight_exporter.evaluation.engines.opening import open_engine
from starlight_exporter.evaluation.figures import figures
from starlight_exporter.evaluation.latency import summarise
from starlight_exporter.evaluation.payload import by_payload
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.progress import Progress, ProgressReporter
from starlight_exporter.evaluation.quality import measure_quality
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.results import Evaluation, Execution, ModelFacts, Provenance, RunResult
from starlight_exporter.evaluation.scorers import SelectedScorer, select_scorer
from starlight_exporter.evaluation.shard_job import EvaluationJob, ImageAccess
from starlight_exporter.evaluation.spec import current_spec
from starlight_exporter.evaluation.timed_run import MeasuredFiles, time_sample, timed_calls
from starlight_exporter.evaluation.unlabelled import UnlabelledResult, unlabelled_result
from starlight_exporter.models.cards import model_in
from starlight_exporter.models.records import read_records
from starlight_exporter.models.training_files import leaked_images


def evaluate(request: RunRequest, *, progress: Progress | None = None, activity: Activity = NO_ACTIVITY) -> RunResult:
    """Load the model, list the dataset, read and predict every image once, then time a sample of them.

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
    listing = list_dataset(request)
    images = len(listing.files)
    reporter = ProgressReporter(
        progress,
        request.progress_file,
        total=images + timed_calls(request, images),
        listing=listing.files.digest,
    )
    reporter.report(0)
    bulk = _predict(request, detector, listing, reporter, activity)
    measured = MeasuredFiles(bulk.predictions)
    latency = time_sample(
        request,
        detector,
        measured,
        listing.files,
        # Fewer images may be measured than expected, and then each is repeated more often.
        progress=lambda done, calls: reporter.report(images + timed_calls(request, images) * done // max(1, calls)),
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
        provenance=provenance(request, detector, bulk.fingerprint),
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
        images=images,
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
        quality=measure_quality(bulk.predictions, ignored_files=listing.files.ignored),
        shortcuts={} if request.unlabelled is not None else find_shortcuts(bulk.facts, seed=request.seed),
        leaked_images=None
        if records.manifest is None or request.unlabelled is not None
        else leaked_images(bulk.predictions.content_prefixes(), records.manifest),
        training=records.training,
        origin=records.origin,
        execution=bulk.execution,
        payload=None if request.unlabelled is not None else by_payload(bulk.predictions),
        figures=None if request.unlabelled is not None else figures(bulk.predictions, seed=request.seed),
        unlabelled=_unlabelled(request, detector, listing, bulk),
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


def list_dataset(request: RunRequest) -> Listing:
    """List the files of the dataset of a request. Raise DatasetError."""
    with open_source(request.dataset_root) as source:
        if request.unlabelled is not None:
            return list_unlabelled(source, request.unlabelled.window)
        return list_labelled(source)


def scan_dataset(request: RunRequest, activity: Activity) -> ScannedDataset:
    """Return the fingerprint of the dataset of a request. Raise DatasetError.

    The files that ended or blocked a process while they were read are not opened. Files that fail later are hashed, so
    that the fingerprint does not depend on the faults of a run.
    """
    with open_engine(request.engine, threads=SCAN_THREADS, activity=activity) as engine:
        return scan_listing(
            list_dataset(request),
            request.dataset_root,
            max_file_bytes=request.limits.max_file_bytes,
            image_seconds=request.limits.image_seconds,
            faults=request.faults,
            cache=request.cache,
            engine=engine,
        )


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


def provenance(request: RunRequest, detector: Detector, fingerprint: str) -> Provenance:
    """Return the hashes, decision rule, versions and seed of a run."""
    spec = current_spec(
        model_sha256=detector.sha256,
        dataset_fingerprint=fingerprint,
        decision=request.decision.describe(),
        providers=detector.providers,
        dataset_generator=generator_version(request.dataset_root),
    )
    return Provenance(**asdict(spec), seed=request.seed)


@dataclass(frozen=True, slots=True)
class _BulkResult:
    fingerprint: str
    predictions: PredictionTable
    facts: FactTable
    embeddings: EmbeddingTable
    execution: Execution
    seconds: float


def _unlabelled(
    request: RunRequest, detector: Detector, listing: Listing, bulk: _BulkResult
) -> UnlabelledResult | None:
    if request.unlabelled is None:
        return None
    sample = drift_sample(bulk.predictions, bulk.facts, "unlabelled", seed=request.seed)
    drift = measure_drift(request.unlabelled.drift_reference, sample, provenance(request, detector, bulk.fingerprint))
    return unlabelled_result(bulk.predictions, images_outside_window=listing.files_outside_window, drift=drift)


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
    request: RunRequest, detector: Detector, listing: Listing, reporter: ProgressReporter, activity: Activity
) -> _BulkResult:
    start = time.perf_counter()
    access = ImageAccess.of(request, listing.categories)
    bulk = BulkPass(listing)
    with open_engine(request.engine, threads=request.threads, activity=activity) as engine:
        selected = select_scorer(detector, request.decision, access, listing, seed=request.seed, activity=activity)
        job = EvaluationJob(
            images=access,
            scorer=PortableScorer(detector, selected.scorer, request.decision),
            decision=request.decision,
            batch=request.batch,
            sampled=sampled_numbers(listing.files, seed=request.seed),
        )
        found = bulk.predictions(job, engine, lambda done, _: reporter.report(done))
        try:
            table = (
                PredictionTable.of(found)
                if request.predictions_file is None
                else PredictionTable.write(request.predictions_file, found)
            )
        except EngineError:
            raise
        except EvaluationError as error:
            raise EvaluationError(f"{_title(request)}: {error}") from error
        execution = _execution(request, selected, bulk, engine)
    return _BulkResult(
        fingerprint=bulk.fingerprint(),
        predictions=table,
        facts=bulk.facts.table(),
        embeddings=bulk.embeddings.table(),
        execution=execution,
        seconds=time.perf_counter() - start,
    )


def _execution(request: RunRequest, selected: SelectedScorer, bulk: BulkPass, engine: Engine) -> Execution:
    # Workers of a cluster have caches of their own.
    cache = request.cache if request.engine.kind == "local" else None
    return Execution(
        full_model_reason=selected.full_model_reason,
        cached_images=bulk.cached,
        decoded_images=bulk.readable - bulk.cached,
        cache_bytes=None if cache is None else folder_bytes(cache.folder),
        cache_problem=bulk.cache_problem,
        batch=selected.batch,
        engine=request.engine.describe(),
        processors=tuple(sorted(engine.processors)),
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

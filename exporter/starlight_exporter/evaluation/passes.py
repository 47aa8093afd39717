"""The passes of a run over the images: bulk pass, latency pass, and what facts and embeddings of images show.

Listing and model are freed before the statistics of the images with facts and embeddings, and these before the
statistics of all images, which need the memory.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from starlight_exporter.activity import Activity
from starlight_exporter.dataset.cache import folder_bytes
from starlight_exporter.dataset.engine import Engine
from starlight_exporter.dataset.facts import FactTable
from starlight_exporter.dataset.listing import Listing
from starlight_exporter.dataset.shortcuts import Shortcut, find_shortcuts
from starlight_exporter.detector.contract import Method
from starlight_exporter.detector.model import Detector
from starlight_exporter.detector.portable import PortableScorer
from starlight_exporter.errors import EngineError, EvaluationError
from starlight_exporter.evaluation.applied_rule import replaced_rule, rule_warnings, with_applied_rule
from starlight_exporter.evaluation.bulk import BulkPass
from starlight_exporter.evaluation.drift import MAX_REFERENCE_IMAGES, DriftSample, drift_sample, measure_drift
from starlight_exporter.evaluation.embedding_results import EmbeddingResult, Projection
from starlight_exporter.evaluation.embedding_table import EmbeddingTable, sampled_numbers
from starlight_exporter.evaluation.embeddings import measure_embeddings
from starlight_exporter.evaluation.engines.opening import open_engine
from starlight_exporter.evaluation.inputs import list_dataset, load_detector, provenance
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.progress import Progress, ProgressReporter
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.results import Execution, ModelFacts, Provenance
from starlight_exporter.evaluation.scorers import SelectedScorer, select_scorer
from starlight_exporter.evaluation.shard_job import EvaluationJob, ImageAccess
from starlight_exporter.evaluation.timed_run import LatencyResult, MeasuredFiles, time_sample, timed_calls
from starlight_exporter.evaluation.unlabelled import UnlabelledResult, unlabelled_result
from starlight_exporter.models.records import Records, read_records


@dataclass(frozen=True, slots=True)
class SampledStatistics:
    """Statistics of the images whose facts and embeddings are collected.

    `drift_sample` is None for an unlabelled dataset, for which `unlabelled` is set.
    """

    embeddings: EmbeddingResult | None
    projection: Projection | None
    shortcuts: Mapping[Method, Shortcut]
    unlabelled: UnlabelledResult | None
    drift_sample: DriftSample | None


@dataclass(frozen=True, slots=True)
class Collected:
    """Facts and embeddings of sampled images; `embedding_problem` is that of the model, see `measure_embeddings`."""

    facts: FactTable
    embeddings: EmbeddingTable
    embedding_problem: str | None
    files_outside_window: int = 0


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """What the passes of a run have measured. `images` are the files of the dataset, measured or not."""

    provenance: Provenance
    model_facts: ModelFacts
    replaced_decision: str | None
    images: int
    ignored_files: int
    images_per_second: float
    predictions: PredictionTable
    latency: LatencyResult
    records: Records
    execution: Execution
    warnings: tuple[str, ...]


def measure(
    request: RunRequest, progress: Progress | None, activity: Activity
) -> tuple[MeasuredRun, SampledStatistics]:
    """Load the model, list the dataset, predict every image, then time a sample of them.

    Raise ModelError or DatasetError if the model or dataset cannot be used, and EvaluationError if a pass fails.
    """
    run, collected = _passes(request, progress, activity)
    if request.unlabelled is None:
        return run, sampled_statistics(run.predictions, collected, seed=request.seed)
    images = drift_sample(run.predictions, collected.facts, "unlabelled", seed=request.seed)
    drift = measure_drift(request.unlabelled.drift_reference, images, run.provenance)
    outside = collected.files_outside_window
    result = unlabelled_result(run.predictions, images_outside_window=outside, drift=drift)
    return run, SampledStatistics(None, None, {}, result, None)


def sampled_statistics(predictions: PredictionTable, collected: Collected, *, seed: int) -> SampledStatistics:
    """Return the statistics of a labelled dataset."""
    separation, projection = measure_embeddings(
        predictions, collected.embeddings, collected.embedding_problem, seed=seed
    )
    return SampledStatistics(
        embeddings=separation,
        projection=projection,
        shortcuts=find_shortcuts(collected.facts, seed=seed),
        unlabelled=None,
        drift_sample=drift_sample(predictions, collected.facts, "clean", seed=seed, limit=MAX_REFERENCE_IMAGES),
    )


def _passes(request: RunRequest, progress: Progress | None, activity: Activity) -> tuple[MeasuredRun, Collected]:
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
    run = MeasuredRun(
        provenance=provenance(request, detector, bulk.fingerprint),
        model_facts=ModelFacts(
            file=str(request.model_path),
            size_bytes=detector.size_bytes,
            modified_at=detector.modified_at,
            loaded_at=detector.loaded_at,
            inputs=detector.input_names,
            outputs=detector.output_names,
        ),
        replaced_decision=replaced_rule(requested, request.decision),
        images=images,
        ignored_files=listing.files.ignored,
        images_per_second=len(measured) / bulk.seconds,
        predictions=bulk.predictions,
        latency=latency,
        records=records,
        execution=bulk.execution,
        warnings=(
            *rule_warnings(detector, requested),
            *records.problems,
            *reporter.warnings,
            *_cache_warnings(bulk.execution),
            *latency.warnings,
        ),
    )
    return run, Collected(bulk.facts, bulk.embeddings, detector.embedding_problem, listing.files_outside_window)


@dataclass(frozen=True, slots=True)
class _BulkResult:
    fingerprint: str
    predictions: PredictionTable
    facts: FactTable
    embeddings: EmbeddingTable
    execution: Execution
    seconds: float


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


def _title(request: RunRequest) -> str:
    return f"{request.model} on {request.dataset}"

"""Run an evaluation: one model on one dataset."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from datetime import UTC, datetime

from starlight_exporter.activity import NO_ACTIVITY, Activity
from starlight_exporter.errors import EvaluationError
from starlight_exporter.evaluation.image_statistics import image_statistics
from starlight_exporter.evaluation.latency import summarise
from starlight_exporter.evaluation.passes import measure
from starlight_exporter.evaluation.progress import Progress
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.results import Evaluation, RunResult


def evaluate(request: RunRequest, *, progress: Progress | None = None, activity: Activity = NO_ACTIVITY) -> RunResult:
    """Load the model, list the dataset, read and predict every image once, then time a sample of them.

    If the request has a baseline model, both models are timed alternately; without a usable baseline model, the result
    has a warning instead of a latency ratio.
    The same model, data and seed give the same results for any number of threads, except for times and the id. Raise
    ModelError or DatasetError if the model or dataset cannot be used, and EvaluationError if the run fails.
    """
    started, clock = time.time(), time.perf_counter()
    if request.threads < 1 or request.latency_sample < 0 or request.seed < 0:
        title = f"{request.model} on {request.dataset}"
        raise EvaluationError(f"{title}: expected at least 1 thread and no negative latency sample or seed")
    if request.unlabelled is not None:
        # Incoming images are not a sample that latencies could be compared on.
        request = replace(request, latency_sample=0, baseline=None)
    run, sampled = measure(request, progress, activity)
    statistics = image_statistics(
        run.predictions,
        run.records.manifest,
        ignored_files=run.ignored_files,
        labelled=request.unlabelled is None,
        seed=request.seed,
    )
    counts = statistics.accuracy
    evaluation = Evaluation(
        id=_new_id(started),
        model=request.model,
        role=request.role,
        dataset=request.dataset,
        trigger=request.trigger,
        provenance=run.provenance,
        model_facts=run.model_facts,
        started_at=started,
        finished_at=time.time(),
        duration_seconds=time.perf_counter() - clock,
        images=run.images,
        images_per_second=run.images_per_second,
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
        latency=None if run.latency.observations is None else summarise(run.latency.observations),
        latency_ratio=run.latency.ratio,
        quality=statistics.quality,
        shortcuts=dict(sampled.shortcuts),
        leaked_images=statistics.leaked_images,
        training=run.records.training,
        origin=run.records.origin,
        execution=run.execution,
        payload=statistics.payload,
        figures=statistics.figures,
        unlabelled=sampled.unlabelled,
        embeddings=sampled.embeddings,
        replaced_decision=run.replaced_decision,
    )
    return RunResult(
        evaluation=evaluation,
        predictions=run.predictions,
        latency=run.latency.observations,
        warnings=run.warnings,
        drift_sample=sampled.drift_sample,
        projection=sampled.projection,
    )


def _new_id(started: float) -> str:
    """Return an id that sorts by time and is safe in paths and URLs."""
    return f"{datetime.fromtimestamp(started, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"

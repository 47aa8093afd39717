"""Measure a sample of a large dataset before the full pass: a provisional result within seconds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from starlight_exporter.activity import NO_ACTIVITY, Activity
from starlight_exporter.dataset.dataset import LabelledFile
from starlight_exporter.dataset.labelled_files import find_labelled_files
from starlight_exporter.dataset.layout import label_listed
from starlight_exporter.detector.model import Detector
from starlight_exporter.errors import EvaluationError, ModelError
from starlight_exporter.evaluation.applied_rule import applied_rule, with_applied_rule
from starlight_exporter.evaluation.baseline_verdicts import BaselineVerdicts
from starlight_exporter.evaluation.bulk import BatchPredictor, predict_all
from starlight_exporter.evaluation.image_source import ImageSource, open_cache
from starlight_exporter.evaluation.provisional_result import ProvisionalResult
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.results import Prediction
from starlight_exporter.evaluation.run import file_problems, load_detector
from starlight_exporter.evaluation.sample import sample_files, sample_size
from starlight_exporter.evaluation.scorers import select_scorer
from starlight_exporter.evaluation.spec import current_spec


def measure_provisional(request: RunRequest, activity: Activity = NO_ACTIVITY) -> ProvisionalResult | None:
    """List the dataset and measure a sample of it with the model and the baseline model of the request.

    Return None if the request has no sample, or all images fit into the time of a sample. A baseline model that cannot
    be used is left out. Raise ModelError or DatasetError if the model or dataset cannot be used.
    """
    if request.provisional is None or request.unlabelled is not None:
        return None
    started = time.time()
    listing = find_labelled_files(request.dataset_root)
    size = sample_size(len(listing.found), request.provisional.images_per_second)
    if size is None:
        return None
    with activity.during("load"):
        detector = load_detector(request)
    request = with_applied_rule(request, detector)
    files = label_listed(
        listing,
        sample_files(listing, images=size, seed=request.seed),
        max_file_bytes=request.limits.max_file_bytes,
        excluded=file_problems(request.faults),
        activity=activity,
    )
    predictions = _predict(request, detector, files, activity)
    return ProvisionalResult(
        model=request.model,
        role=request.role,
        dataset=request.dataset,
        trigger=request.trigger,
        spec=current_spec(
            model_sha256=detector.sha256,
            dataset_fingerprint="",
            decision=request.decision.describe(),
            providers=detector.providers,
        ),
        seed=request.seed,
        dataset_images=len(listing.found),
        predictions=predictions,
        baseline=_baseline(request, files, activity),
        started_at=started,
        finished_at=time.time(),
    )


def _predict(
    request: RunRequest, detector: Detector, files: Sequence[LabelledFile], activity: Activity
) -> tuple[Prediction, ...]:
    limits = request.limits
    cache = open_cache(request.cache, files)
    selected = select_scorer(
        detector,
        request.decision,
        request.dataset_root,
        files,
        limits=limits,
        seed=request.seed,
        faults=request.faults,
        activity=activity,
    )
    predictor = BatchPredictor(
        ImageSource(request.dataset_root, limits, cache, faults=request.faults, activity=activity),
        selected.scorer,
        request.decision,
        image_seconds=limits.image_seconds,
        activity=activity,
    )
    try:
        return predict_all(
            predictor, files, threads=request.threads, batch=request.batch, progress=lambda _done, _total: None
        )
    except EvaluationError as error:
        raise EvaluationError(f"{request.model} on a sample of {request.dataset}: {error}") from error
    finally:
        if cache is not None:
            cache.publish()


def _baseline(request: RunRequest, files: Sequence[LabelledFile], activity: Activity) -> BaselineVerdicts | None:
    """Return the verdicts of the baseline model on the sample: known ones if model and rule are unchanged."""
    if request.baseline is None:
        return None
    # The supervisor drops the baseline model if this phase ends the worker: all images were decoded before.
    with activity.during("load", str(request.baseline.path)):
        try:
            detector = Detector.load(request.baseline.path, providers=request.providers)
            rule = applied_rule(detector, request.baseline.decision)
            spec = current_spec(
                model_sha256=detector.sha256,
                dataset_fingerprint="",
                decision=rule.describe(),
                providers=detector.providers,
            )
            known = None if request.provisional is None else request.provisional.baseline
            if known is not None and known.spec == spec and known.covers(files):
                return known
            predictions = _predict(replace(request, decision=rule), detector, files, NO_ACTIVITY)
        except (ModelError, EvaluationError):
            # Its own evaluation reports the reason.
            return None
    return BaselineVerdicts(spec, {one.path: (one.sha256, one.verdict) for one in predictions})

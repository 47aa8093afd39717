"""Measure a sample of a large dataset before the full pass: a provisional result within seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace

from starlight_exporter.activity import NO_ACTIVITY, Activity
from starlight_exporter.dataset.engine import LocalEngine
from starlight_exporter.dataset.listing import Listing
from starlight_exporter.detector.model import Detector
from starlight_exporter.detector.portable import PortableScorer
from starlight_exporter.errors import EvaluationError, ModelError
from starlight_exporter.evaluation.applied_rule import applied_rule, with_applied_rule
from starlight_exporter.evaluation.baseline_verdicts import BaselineVerdicts
from starlight_exporter.evaluation.bulk import BulkPass
from starlight_exporter.evaluation.provisional_result import ProvisionalResult
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.results import Prediction
from starlight_exporter.evaluation.inputs import list_dataset, load_detector
from starlight_exporter.evaluation.sample import sample_files, sample_size
from starlight_exporter.evaluation.scorers import select_scorer
from starlight_exporter.evaluation.shard_job import EvaluationJob, ImageAccess
from starlight_exporter.evaluation.spec import current_spec


def measure_provisional(request: RunRequest, activity: Activity = NO_ACTIVITY) -> ProvisionalResult | None:
    """List the dataset and measure a sample of it with the model and the baseline model of the request.

    Return None if the request has no sample, or all images fit into the time of a sample. A baseline model that cannot
    be used is left out. Raise ModelError or DatasetError if the model or dataset cannot be used.
    """
    if request.provisional is None or request.unlabelled is not None:
        return None
    started = time.time()
    listing = list_dataset(request)
    size = sample_size(len(listing.files), request.provisional.images_per_second)
    if size is None:
        return None
    with activity.during("load"):
        detector = load_detector(request)
    request = with_applied_rule(request, detector)
    sample = [file.number for file in sample_files(listing.labelled, images=size, seed=request.seed)]
    predictions = _predict(request, detector, listing, sample, activity=activity)
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
        dataset_images=len(listing.files),
        predictions=predictions,
        baseline=_baseline(request, listing, predictions, sample, activity),
        started_at=started,
        finished_at=time.time(),
    )


def _predict(
    request: RunRequest,
    detector: Detector,
    listing: Listing,
    sample: Sequence[int],
    *,
    activity: Activity = NO_ACTIVITY,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[Prediction, ...]:
    access = ImageAccess.of(request, listing.categories)
    selected = select_scorer(detector, request.decision, access, listing, seed=request.seed, activity=activity)
    job = EvaluationJob(
        images=access,
        scorer=PortableScorer(detector, selected.scorer, request.decision),
        decision=request.decision,
        batch=request.batch,
    )
    engine = LocalEngine(request.threads, activity)
    try:
        return tuple(BulkPass(listing).predictions(job, engine, progress, sample))
    except EvaluationError as error:
        raise EvaluationError(f"{request.model} on a sample of {request.dataset}: {error}") from error


class _LoadedSince(ExitStack):
    """The activity of loading a model, whose time limit starts again whenever the model has scored more images."""

    def __init__(self, activity: Activity, file: str) -> None:
        super().__init__()
        self._activity = activity
        self._file = file
        self._done = 0
        self._restart()

    def progress(self, done: int, _total: int) -> None:
        """Restart the time limit if more images are done."""
        if done > self._done:
            self._done = done
            self._restart()

    def _restart(self) -> None:
        self.close()
        self.enter_context(self._activity.during("load", self._file))


def _baseline(
    request: RunRequest,
    listing: Listing,
    measured: Sequence[Prediction],
    sample: Sequence[int],
    activity: Activity,
) -> BaselineVerdicts | None:
    """Return the verdicts of the baseline model on the sample: known ones if model and rule are unchanged."""
    if request.baseline is None:
        return None
    # The supervisor drops the baseline model if this phase ends the worker: all images were decoded before.
    with _LoadedSince(activity, str(request.baseline.path)) as loaded:
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
            if known is not None and known.spec == spec and known.covers(measured):
                return known
            predictions = _predict(replace(request, decision=rule), detector, listing, sample, progress=loaded.progress)
        except (ModelError, EvaluationError):
            # Its own evaluation reports the reason.
            return None
    return BaselineVerdicts(spec, {one.path: (one.sha256, one.verdict) for one in predictions})

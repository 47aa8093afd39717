"""Measure a sample of a large dataset before the full pass: a provisional result within seconds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

from starlight_exporter.activity import NO_ACTIVITY, Activity
from starlight_exporter.dataset.engine import LocalEngine
from starlight_exporter.dataset.listing import Listing
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.detector.model import Detector
from starlight_exporter.detector.portable import PortableScorer
from starlight_exporter.errors import EvaluationError, ModelError
from starlight_exporter.evaluation.applied_rule import applied_rule, with_applied_rule
from starlight_exporter.evaluation.baseline_verdicts import BaselineVerdicts
from starlight_exporter.evaluation.bulk import BulkPass
from starlight_exporter.evaluation.inputs import list_dataset, load_detector
from starlight_exporter.evaluation.progress import Progress
from starlight_exporter.evaluation.provisional_result import ProvisionalResult
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.results import Prediction
from starlight_exporter.evaluation.sample import Sampler, is_sampled, sample_size
from starlight_exporter.evaluation.scorers import select_scorer
from starlight_exporter.evaluation.shard_job import EvaluationJob, ImageAccess
from starlight_exporter.evaluation.spec import EvaluationSpec, current_spec


def measure_provisional(request: RunRequest, activity: Activity = NO_ACTIVITY) -> ProvisionalResult | None:
    """List the dataset and measure a sample of it with the model and the baseline model of the request.

    The size of the sample follows from the rate of its first images, because the rate depends on the cache, the source
    and the load of the machine. Return None if the request has no sample, the dataset is small or has no image with
    labels, or has a result and all images fit into the time of a sample. A baseline model that cannot be used is left
    out. Raise ModelError or DatasetError if the model or dataset cannot be used, and EvaluationError if the pass fails.
    """
    wanted = request.provisional
    if wanted is None or request.unlabelled is not None:
        return None
    started = time.time()
    listing = list_dataset(request)
    images = len(listing.files)
    if not is_sampled(images):
        return None
    with activity.during("load"):
        detector = load_detector(request)
    request = with_applied_rule(request, detector)
    model = _Model(request, detector, listing, activity)
    sampler = Sampler(listing.labelled, seed=request.seed)
    timed = sampler.timed_numbers()
    if not timed:
        return None
    clock = time.perf_counter()
    found = model.predictions(timed)
    images_per_second = len(timed) / (time.perf_counter() - clock)
    size = sample_size(images, images_per_second, has_result=wanted.has_result)
    if size is None:
        return None
    sample = sampler.numbers(size)
    found |= model.predictions([number for number in sample if number not in found])
    predictions = tuple(found[number] for number in sample)
    return ProvisionalResult(
        model=request.model,
        role=request.role,
        dataset=request.dataset,
        trigger=request.trigger,
        spec=_spec(detector, request.decision),
        seed=request.seed,
        sample_size=size,
        dataset_images=images,
        predictions=predictions,
        baseline=_baseline(request, listing, predictions, sample, activity),
        started_at=started,
        finished_at=time.time(),
    )


def _spec(detector: Detector, decision: DecisionRule) -> EvaluationSpec:
    """Return the spec of a sample; the fingerprint of its dataset is not known."""
    return current_spec(
        model_sha256=detector.sha256,
        dataset_fingerprint="",
        decision=decision.describe(),
        providers=detector.providers,
    )


class _Model:
    """A loaded model that predicts files of a listing on threads of this process."""

    def __init__(self, request: RunRequest, detector: Detector, listing: Listing, activity: Activity) -> None:
        access = ImageAccess.of(request, listing.categories)
        selected = select_scorer(detector, request.decision, access, listing, seed=request.seed, activity=activity)
        self._job = EvaluationJob(
            images=access,
            scorer=PortableScorer(detector, selected.scorer, request.decision),
            decision=request.decision,
            batch=request.batch,
        )
        self._engine = LocalEngine(request.threads, activity)
        self._listing = listing
        self._title = f"{request.model} on a sample of {request.dataset}"

    def predictions(
        self, numbers: Sequence[int], progress: Progress = lambda _done, _total: None
    ) -> dict[int, Prediction]:
        """Return the predictions for the files with these numbers. Raise EvaluationError."""
        try:
            found = BulkPass(self._listing).predictions(self._job, self._engine, progress, numbers)
            return dict(zip(numbers, found, strict=True))
        except EvaluationError as error:
            raise EvaluationError(f"{self._title}: {error}") from error


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
            spec = _spec(detector, rule)
            known = None if request.provisional is None else request.provisional.baseline
            if known is not None and known.spec == spec and known.covers(measured):
                return known
            # Without the activity: its images were decoded before, and only the model can exceed a limit.
            model = _Model(replace(request, decision=rule), detector, listing, NO_ACTIVITY)
            predictions = model.predictions(sample, loaded.progress)
        except (ModelError, EvaluationError):
            # Its own evaluation reports the reason.
            return None
    return BaselineVerdicts(spec, {one.path: (one.sha256, one.verdict) for one in predictions.values()})

"""Run an ablation study: load the model, scan the dataset, ablate every stream."""

from __future__ import annotations

import time
from collections.abc import Sequence

from starlight_exporter.activity import NO_ACTIVITY
from starlight_exporter.analysis.ablation import ablate
from starlight_exporter.analysis.modes import AblationMode
from starlight_exporter.analysis.stream_effects import AblationStudy
from starlight_exporter.detector.contract import STREAMS, Stream
from starlight_exporter.errors import EvaluationError
from starlight_exporter.evaluation.applied_rule import with_applied_rule
from starlight_exporter.evaluation.image_source import ImageSource, open_cache
from starlight_exporter.evaluation.progress import Progress
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.run import load_detector, provenance, scan_dataset
from starlight_exporter.evaluation.scorers import select_scorer


def ablation_study(
    request: RunRequest,
    *,
    mode: AblationMode = "zero",
    streams: Sequence[Stream] = STREAMS,
    progress: Progress | None = None,
) -> AblationStudy:
    """Ablate the streams of one model on one dataset; the latency sample and training log of the request are ignored.

    Raise ModelError or DatasetError if the model or dataset cannot be used, and EvaluationError if no image could be
    measured.
    """
    started = time.time()
    detector = load_detector(request)
    request = with_applied_rule(request, detector)
    dataset = scan_dataset(request, NO_ACTIVITY)
    cache = open_cache(request.cache, dataset.files)
    limits = request.limits
    selected = select_scorer(
        detector,
        request.decision,
        dataset.root,
        dataset.files,
        limits=limits,
        seed=request.seed,
        faults=request.faults,
    )
    try:
        result = ablate(
            selected.scorer,
            ImageSource(dataset.root, limits, cache, faults=request.faults),
            request.decision,
            dataset.files,
            mode=mode,
            streams=streams,
            seed=request.seed,
            threads=request.threads,
            progress=progress,
        )
    finally:
        if cache is not None:
            cache.publish()
    if not result.images:
        raise EvaluationError(f"{request.model} on {request.dataset}: no image could be measured")
    return AblationStudy(
        model=request.model,
        dataset=request.dataset,
        provenance=provenance(request, detector, dataset),
        started_at=started,
        finished_at=time.time(),
        ablation=result,
    )

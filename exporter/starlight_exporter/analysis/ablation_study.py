"""Run an ablation study: load the model, scan the dataset, ablate every stream."""

from __future__ import annotations

import time
from collections.abc import Sequence

from starlight_exporter.analysis.ablation import ablate
from starlight_exporter.analysis.modes import AblationMode
from starlight_exporter.analysis.stream_effects import AblationStudy
from starlight_exporter.detector.contract import STREAMS, Stream
from starlight_exporter.detector.portable import PortableScorer
from starlight_exporter.errors import EvaluationError
from starlight_exporter.evaluation.applied_rule import with_applied_rule
from starlight_exporter.evaluation.engines.opening import open_engine
from starlight_exporter.evaluation.inputs import list_dataset, load_detector, provenance, scan_listed
from starlight_exporter.evaluation.progress import Progress
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.scorers import select_scorer
from starlight_exporter.evaluation.shard_job import ImageAccess


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
    listing = list_dataset(request)
    with open_engine(request.engine, threads=request.threads) as engine:
        fingerprint = scan_listed(request, listing, engine).fingerprint
        access = ImageAccess.of(request, listing.categories)
        selected = select_scorer(detector, request.decision, access, listing, seed=request.seed)
        result = ablate(
            PortableScorer(detector, selected.scorer, request.decision),
            access,
            request.decision,
            listing,
            engine,
            mode=mode,
            streams=streams,
            seed=request.seed,
            progress=progress,
        )
    if not result.images:
        raise EvaluationError(f"{request.model} on {request.dataset}: no image could be measured")
    return AblationStudy(
        model=request.model,
        dataset=request.dataset,
        provenance=provenance(request, detector, fingerprint),
        started_at=started,
        finished_at=time.time(),
        ablation=result,
    )

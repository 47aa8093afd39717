"""What runs inside a worker process; what it imports late, the exporter process never loads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from starlight_exporter.analysis.stream_effects import AblationStudy
from starlight_exporter.dataset.rendered_streams import RenderedStreams
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.results import Prediction, RunResult

NICENESS = 5
THUMBNAILS = 120
"""Kept with an evaluation, so that its mistakes can be seen when the files are gone; others are drawn on request."""


@dataclass(frozen=True, slots=True)
class Work:
    """A run, and the folder in which the worker leaves small pictures of misclassified files."""

    request: RunRequest
    thumbnails: Path


def start_worker() -> None:
    """First thing in a worker process: scrapes go before evaluations."""
    os.nice(NICENESS)


def evaluate(work: Work) -> RunResult:
    """Run one evaluation and draw the first misclassified files; raises what `evaluation.run.evaluate` raises."""
    # Late: the ONNX runtime and the decoders belong into this process, not into the one that serves scrapes.
    from starlight_exporter.analysis.comparison import misclassified
    from starlight_exporter.dataset.rendering import write_thumbnails
    from starlight_exporter.evaluation.run import evaluate as run

    result = run(work.request)
    wrong = _over_all_slices(misclassified(result.predictions))
    try:
        write_thumbnails(work.request.dataset_root, wrong[:THUMBNAILS], work.thumbnails)
    except OSError as error:
        # Pictures are an extra: a full disk must not cost the numbers.
        return replace(result, warnings=(*result.warnings, f"no thumbnails: {error.strerror or error}"))
    return result


def ablate(request: RunRequest) -> AblationStudy:
    """What each stream is worth; raises what `evaluation.study.study` raises."""
    from starlight_exporter.analysis.study import study

    return study(request)


def _over_all_slices(predictions: Sequence[Prediction]) -> list[str]:
    """Paths, one of each kind of file in turn, so that every filter of the pages finds some."""
    kinds: dict[tuple[str | None, ...], list[str]] = {}
    for one in predictions:
        kinds.setdefault((one.file_class, one.method, one.category, one.image_format), []).append(one.path)
    return [path for turn in zip_longest(*kinds.values()) for path in turn if path is not None]


def draw(root: Path, path: str, sha256: str, max_bytes: int, max_pixels: int) -> RenderedStreams:
    """The streams of an evaluated file; ImageError where it cannot be shown."""
    from starlight_exporter.dataset import rendering

    return rendering.render_streams(
        rendering.read_evaluated(root, path, sha256, max_bytes=max_bytes), max_pixels=max_pixels
    )


def thumbnail(root: Path, path: str, sha256: str, max_bytes: int, max_pixels: int) -> bytes:
    """A small PNG of an evaluated file; ImageError where it cannot be shown."""
    from starlight_exporter.dataset import rendering

    return rendering.thumbnail(rendering.read_evaluated(root, path, sha256, max_bytes=max_bytes), max_pixels=max_pixels)


def fingerprint(name: str, root: Path) -> str:
    """The fingerprint of a dataset as it is on disk now; DatasetError if there is none."""
    from starlight_exporter.dataset.layout import scan

    return scan(name, root).fingerprint

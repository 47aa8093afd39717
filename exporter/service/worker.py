"""What runs inside a worker process; what it imports late, the exporter process never loads."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from exporter.evaluation.evaluation import RunResult
from exporter.evaluation.request import RunRequest
from exporter.evaluation.stream_effects import AblationStudy

NICENESS = 5
THUMBNAILS = 60


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
    from exporter.dataset.thumbnails import write_thumbnails
    from exporter.evaluation.comparison import misclassified
    from exporter.evaluation.run import evaluate as run

    result = run(work.request)
    wrong = [prediction.path for prediction in misclassified(result.predictions)]
    try:
        write_thumbnails(work.request.dataset_root, wrong[:THUMBNAILS], work.thumbnails)
    except OSError as error:
        # Pictures are an extra: a full disk must not cost the numbers.
        return replace(result, warnings=(*result.warnings, f"no thumbnails: {error.strerror or error}"))
    return result


def ablate(request: RunRequest) -> AblationStudy:
    """What each stream is worth; raises what `evaluation.study.study` raises."""
    from exporter.evaluation.study import study

    return study(request)


def fingerprint(name: str, root: Path) -> str:
    """The fingerprint of a dataset as it is on disk now; DatasetError if there is none."""
    from exporter.dataset.layout import scan

    return scan(name, root).fingerprint

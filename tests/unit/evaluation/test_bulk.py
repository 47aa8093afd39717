"""Bulk pass: errors of the model and of the program, progress, and termination."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import pytest

from starlight_exporter.dataset.engine import LocalEngine
from starlight_exporter.dataset.labelled_files import find_labelled_files
from starlight_exporter.dataset.listing import list_labelled
from starlight_exporter.dataset.sources.folder import FolderSource
from starlight_exporter.detector.compact import CompactImage
from starlight_exporter.detector.contract import Stream
from starlight_exporter.detector.decision import PLAIN
from starlight_exporter.detector.model import Detector, Score
from starlight_exporter.detector.portable import PortableScorer
from starlight_exporter.errors import EvaluationError, ImageError, ModelError
from starlight_exporter.evaluation.accuracy import accuracy
from starlight_exporter.evaluation.bulk import BulkPass
from starlight_exporter.evaluation.request import RunLimits, RunRequest
from starlight_exporter.evaluation.results import Prediction
from starlight_exporter.evaluation.run import evaluate
from starlight_exporter.evaluation.shard_job import EvaluationJob, ImageAccess

Requests = Callable[..., RunRequest]


class _Faulty:
    """A scorer that raises the given error."""

    streams: frozenset[Stream] = frozenset({"format"})

    def __init__(self, error: Exception) -> None:
        self._error = error

    def score(self, images: Sequence[CompactImage]) -> list[Score | ImageError]:
        if isinstance(self._error, ImageError):
            return [self._error] * len(images)
        raise self._error


def predicted(error: Exception, root: Path) -> list[Prediction]:
    """Return the predictions of a model that raises an error."""
    listing = list_labelled(FolderSource(root))
    scorer = PortableScorer(cast("Detector", None), _Faulty(error), PLAIN)
    job = EvaluationJob(images=ImageAccess(root=root, limits=RunLimits()), scorer=scorer, decision=PLAIN)
    return list(BulkPass(listing).predictions(job, LocalEngine(2), lambda *_: None))


def test_unexpected_error_fails_the_run_and_names_the_files(dataset_root: Path) -> None:
    with pytest.raises(EvaluationError, match=r"^\w+/.* to \w+/.*: ZeroDivisionError: oops$") as error:
        predicted(ZeroDivisionError("oops"), dataset_root)
    assert isinstance(error.value.__cause__, ZeroDivisionError)


def test_model_error_during_the_run_is_raised_unchanged(dataset_root: Path) -> None:
    broken = ModelError("gone", reason="changed")
    with pytest.raises(ModelError) as error:
        predicted(broken, dataset_root)
    assert error.value is broken


def test_image_error_is_counted_per_image(dataset_root: Path) -> None:
    predictions = predicted(ImageError("no", reason="model_error"), dataset_root)
    assert accuracy(predictions).not_measured["model_error"] == 92


def test_reports_progress_to_callback_and_file(request_for: Requests, dataset_root: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = tmp_path / "progress.json"
    result = evaluate(
        request_for(latency_sample=10, progress_file=path), progress=lambda done, total: seen.append((done, total))
    )
    assert result.warnings == ()
    assert {total for _, total in seen} == {102}
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (102, 102)
    listing = find_labelled_files(dataset_root).found.digest
    assert json.loads(path.read_text()) == {"done": 102, "total": 102, "listing": listing}
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_progress_file_adds_a_warning(request_for: Requests, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = evaluate(request_for(progress_file=tmp_path / "file" / "progress.json"))
    assert result.evaluation.clean.total == 40
    assert len(result.warnings) == 1
    assert result.warnings[0].startswith("progress: ")
    assert "cannot be written" in result.warnings[0]


def test_exception_of_the_callback_ends_the_run(request_for: Requests) -> None:
    def abort(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(request_for(), progress=abort)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("shards")]

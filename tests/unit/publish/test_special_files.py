"""Special files in place of stored results: an error at once, because opening a pipe would wait for its writer."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from starlight_exporter.dataset.cache_segment import INDEX_SUFFIX, PLANES_SUFFIX, Segment
from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.publish.evidence_files import CHECKS_FILE, EVALUATION_FILE, read_checks, read_evaluation
from starlight_exporter.publish.history_files import records, records_backwards

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("read", [records, records_backwards])
def test_history_that_is_a_pipe_is_an_error(pipe: Path, read: object) -> None:
    assert callable(read)
    with pytest.raises(StorageError, match="named pipe, not a regular file"):
        list(read(pipe))


def test_predictions_that_are_a_pipe_are_an_error(pipe: Path) -> None:
    with pytest.raises(StorageError, match="named pipe, not a regular file"):
        len(PredictionTable(pipe))


def test_evidence_that_is_a_pipe_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / EVALUATION_FILE)
    os.mkfifo(tmp_path / CHECKS_FILE)
    with pytest.raises(StorageError, match="named pipe, not a regular file"):
        read_evaluation(tmp_path)
    with pytest.raises(StorageError, match="named pipe, not a regular file"):
        read_checks(tmp_path)


@pytest.mark.parametrize("suffix", [INDEX_SUFFIX, PLANES_SUFFIX])
def test_cache_segment_that_is_a_pipe_is_an_error(tmp_path: Path, suffix: str) -> None:
    planes = tmp_path / f"segment{PLANES_SUFFIX}"
    for path in (planes, planes.with_suffix(INDEX_SUFFIX)):
        path.touch()
    planes.with_suffix(suffix).unlink()
    os.mkfifo(planes.with_suffix(suffix))
    with pytest.raises(OSError, match="named pipe, not a regular file"):
        Segment(planes)

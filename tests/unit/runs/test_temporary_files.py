"""Temporary files of a worker: in the folder of its run, which is deleted also if the worker is killed."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from starlight_exporter.dataset.sources.packing import pack
from starlight_exporter.detector.decision import PRODUCTION
from starlight_exporter.runs import worker
from starlight_exporter.runs.worker import Work
from support.images import write_dataset
from support.run_requests import run_request

MODEL = Path(__file__).resolve().parents[3] / "models" / "production" / "model.onnx"


@pytest.mark.slow
def test_temporary_files_of_a_run_are_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(tmp_path / "images", clean=5, stego=5, negatives=2)
    pack(tmp_path / "images", tmp_path / "shards", "tar")
    (tmp_path / "run").mkdir()
    request = run_request(MODEL, tmp_path / "shards", decision=PRODUCTION, latency_sample=4, threads=1)
    # No temporary file can be created in another folder.
    elsewhere = str(tmp_path / "missing")
    monkeypatch.setattr(tempfile, "tempdir", elsewhere)
    result = worker.evaluate(Work(request, tmp_path / "run" / "thumbnails"))
    # The sampled files of shards are timed on copies.
    assert result.evaluation.latency is not None
    assert result.evaluation.latency.images == 4
    assert tempfile.tempdir == elsewhere

"""An evaluation of shards has the predictions of the folder that they were packed from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from starlight_exporter.dataset.sources.packing import ShardFormat, pack
from starlight_exporter.detector.decision import PRODUCTION
from starlight_exporter.evaluation.results import Prediction, RunResult
from starlight_exporter.evaluation.run import evaluate
from support.images import write_dataset
from support.run_requests import run_request

pytestmark = pytest.mark.slow

MODEL = Path(__file__).resolve().parents[3] / "models" / "production" / "model.onnx"


def evaluated(root: Path) -> RunResult:
    return evaluate(run_request(MODEL, root, decision=PRODUCTION, latency_sample=10))


def without_times(result: RunResult) -> list[Prediction]:
    return [replace(one, seconds=0.0) for one in result.predictions]


@pytest.mark.parametrize("shard_format", ["tar", "parquet"])
def test_shards_have_the_predictions_of_the_folder(tmp_path: Path, shard_format: ShardFormat) -> None:
    folder = tmp_path / "images"
    write_dataset(folder, clean=20, stego=20, negatives=6)
    pack(folder, tmp_path / "shards", shard_format, shard_files=18)
    of_folder, of_shards = evaluated(folder), evaluated(tmp_path / "shards")
    assert without_times(of_shards) == without_times(of_folder)
    # The sampled files are timed on local copies.
    assert of_shards.evaluation.latency is not None
    assert of_shards.evaluation.latency.images == 10

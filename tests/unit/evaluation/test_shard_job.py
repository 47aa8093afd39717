"""Jobs of an evaluation: bit-equal results in other processes, for any size of the shards, and in any order."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from starlight_exporter.analysis.ablated_shards import MeansJob, MeanStreams
from starlight_exporter.dataset.dataset import FileFault
from starlight_exporter.dataset.listing import Listing
from starlight_exporter.detector.contract import STREAMS
from starlight_exporter.detector.model import Detector
from starlight_exporter.detector.portable import PortableScorer
from starlight_exporter.errors import ModelError
from starlight_exporter.evaluation.inputs import list_dataset
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.results import Prediction
from starlight_exporter.evaluation.scorers import select_scorer
from starlight_exporter.evaluation.shard_job import EvaluationJob, ImageAccess

pytestmark = pytest.mark.slow

Requests = Callable[..., RunRequest]


def job_of(request: RunRequest, listing: Listing) -> EvaluationJob:
    detector, access = Detector.load(request.model_path), ImageAccess.of(request, listing.categories)
    selected = select_scorer(detector, request.decision, access, listing, seed=0)
    scorer = PortableScorer(detector, selected.scorer, request.decision)
    return EvaluationJob(images=access, scorer=scorer, decision=request.decision)


def predictions(job: EvaluationJob, listing: Listing, shard_files: int) -> list[Prediction]:
    shards, started = listing.shards(shard_files), job.start()
    found = [
        one for number in reversed(range(len(shards))) for one in reversed(started.run(shards[number]).predictions)
    ]
    started.close()
    return [replace(one, seconds=None) for one in reversed(found)]


def test_results_are_equal_in_another_process_and_for_any_shards(request_for: Requests) -> None:
    request = request_for()
    listing = list_dataset(request)
    job = job_of(request, listing)
    expected = predictions(job, listing, 16)
    assert len(expected) == 92
    assert len({one.probability for one in expected}) > 80
    assert predictions(job, listing, 64) == expected
    assert predictions(pickle.loads(pickle.dumps(job)), listing, 32) == expected


def test_results_of_a_shard_can_be_sent(request_for: Requests) -> None:
    request = request_for()
    listing = list_dataset(request)
    started = job_of(request, listing).start()
    result = started.run(listing.shards(64)[0])
    started.close()
    again = pickle.loads(pickle.dumps(result))
    assert again.predictions == result.predictions
    assert np.array_equal(again.observed, result.observed)
    assert len(pickle.dumps(result)) < 64 * 1024
    assert len(pickle.dumps(listing.shards(64)[0])) < 64 * 256


def test_model_that_was_replaced_cannot_be_sent(request_for: Requests, tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(request_for().model_path.read_bytes())
    request = request_for(model_path=model)
    job = job_of(request, list_dataset(request))
    model.write_bytes(b"another")
    with pytest.raises(ModelError, match="changed after it was loaded"):
        pickle.dumps(job)


def test_files_of_faults_are_not_opened(request_for: Requests) -> None:
    request = request_for()
    listing = list_dataset(request)
    shard = listing.shards(16)[0]
    faults = (
        FileFault(shard[1].path, "crashed", f"{shard[1].path}: ended it", "scan"),
        FileFault(shard[2].path, "timeout", f"{shard[2].path}: too slow", "decode"),
    )
    started = job_of(request, listing).start()
    first, excluded, slow, *others = started.run(shard, faults).predictions
    started.close()
    assert (excluded.not_measured, excluded.sha256, excluded.detail) == ("crashed", "", f"{shard[1].path}: ended it")
    # A file that can be read is part of the fingerprint.
    assert (slow.not_measured, len(slow.sha256)) == ("timeout", 64)
    assert {one.not_measured for one in (first, *others)} == {None}


def test_means_do_not_depend_on_the_shards(request_for: Requests) -> None:
    request = request_for()
    listing = list_dataset(request)
    job = MeansJob(images=ImageAccess.of(request, None), streams=STREAMS)
    means = []
    for shard_files in (16, 64):
        started, total, shards = job.start(), MeanStreams(STREAMS), listing.shards(shard_files)
        for number in range(len(shards)):
            total.add(started.run(shards[number]))
        started.close()
        means.append(total.means())
    for stream in STREAMS:
        assert np.array_equal(means[0][stream], means[1][stream]), stream
    assert 0 < means[0]["pixel"].mean() < 1

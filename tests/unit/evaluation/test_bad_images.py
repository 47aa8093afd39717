"""Images that cannot be measured: counted by reason, without effect on the other images."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from starlight_exporter.detector.model import Detector
from starlight_exporter.detector.portable import PortableScorer
from starlight_exporter.detector.staged import FullModel
from starlight_exporter.evaluation.inputs import list_dataset
from starlight_exporter.evaluation.request import RunLimits, RunRequest
from starlight_exporter.evaluation.run import evaluate
from starlight_exporter.evaluation.shard_job import EvaluationJob, ImageAccess
from support.images import image_bytes
from support.results import not_measured_reasons

Requests = Callable[..., RunRequest]


@pytest.fixture
def bad_root(tmp_path: Path, dataset_root: Path) -> Path:
    """A few good files, and one of every kind of bad file."""
    root = tmp_path / "bad"
    for path in sorted(dataset_root.rglob("*.*"))[::9]:
        (root / path.relative_to(dataset_root)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, root / path.relative_to(dataset_root))
    clean, stego = root / "clean", root / "stego"
    (clean / "empty.png").write_bytes(b"")
    (clean / "text.jpg").write_text("not an image")
    (clean / "truncated.png").write_bytes(image_bytes(1, size=(200, 200))[:2000])
    (clean / "mislabelled.png").write_bytes(image_bytes(2, "jpeg"))
    (clean / "directory.png").mkdir()
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    huge = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (clean / "huge.png").write_bytes(huge + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT")))
    (clean / "large.bmp").write_bytes(image_bytes(3, "bmp", size=(300, 300)))
    (stego / "unlabelled.png").write_bytes(image_bytes(4))
    return root


def test_counts_bad_files_by_reason_and_measures_the_others(request_for: Requests, bad_root: Path) -> None:
    result = evaluate(request_for(dataset_root=bad_root, limits=RunLimits(max_file_bytes=100_000), latency_sample=1000))
    assert not_measured_reasons(result) == {
        "clean/empty.png": "unreadable",
        "clean/text.jpg": "unreadable",
        "clean/truncated.png": "unreadable",
        "clean/huge.png": "too_large",
        "clean/large.bmp": "too_large",
        "stego/unlabelled.png": "unlabelled",
    }
    evaluation = result.evaluation
    assert {reason: count for reason, count in evaluation.not_measured.items() if count} == {
        "unreadable": 3,
        "too_large": 2,
        "unlabelled": 1,
    }
    measured = [entry for entry in result.predictions if entry.not_measured is None]
    assert "clean/mislabelled.png" in {entry.path for entry in measured}
    assert {entry.image_format for entry in measured if entry.path == "clean/mislabelled.png"} == {"jpeg"}
    assert evaluation.clean.total == sum(entry.file_class == "clean" for entry in measured)
    assert evaluation.images == len(result.predictions) == len(measured) + 6
    assert evaluation.latency is not None
    assert evaluation.latency.images == len(measured)
    for entry in result.predictions:
        if entry.not_measured is not None:
            assert entry.path in entry.detail
            assert (entry.probability, entry.verdict, entry.predicted_method, entry.seconds) == (None,) * 4


@pytest.mark.slow
def test_bad_files_do_not_change_other_predictions(request_for: Requests, bad_root: Path) -> None:
    others = {entry.path: entry.probability for entry in evaluate(request_for()).predictions}
    for entry in evaluate(request_for(dataset_root=bad_root)).predictions:
        if entry.path in others:
            assert entry.probability == others[entry.path]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_file_without_read_permission_is_unreadable(request_for: Requests, bad_root: Path) -> None:
    (bad_root / "clean" / "large.bmp").chmod(0)
    assert not_measured_reasons(evaluate(request_for(dataset_root=bad_root)))["clean/large.bmp"] == "unreadable"


def test_files_are_read_when_their_shard_is(request_for: Requests, tmp_path: Path) -> None:
    paths = [tmp_path / "clean" / f"{name}.png" for name in ("empty", "gone", "kept", "replaced")]
    paths[0].parent.mkdir()
    for seed, path in enumerate(paths):
        path.write_bytes(image_bytes(seed))
    request = request_for(dataset_root=tmp_path)
    listing = list_dataset(request)
    empty, gone, _, replaced = paths
    empty.write_bytes(b"")
    gone.unlink()
    replaced.write_bytes(image_bytes(9, size=(80, 80)))
    detector = Detector.load(request.model_path)
    job = EvaluationJob(
        images=ImageAccess.of(request, None),
        scorer=PortableScorer(detector, FullModel(detector), request.decision),
        decision=request.decision,
    ).start()
    predictions = job.run(listing.shard(range(4))).predictions
    job.close()
    assert [entry.not_measured for entry in predictions] == ["unreadable", "unreadable", None, None]
    assert [entry.detail.partition(": ")[2] for entry in predictions[:2]] == [
        "is empty",
        "cannot be read: No such file or directory",
    ]
    assert predictions[3].facts.width == 80
    assert predictions[3].sha256 == hashlib.sha256(replaced.read_bytes()).hexdigest()


@pytest.mark.slow
def test_image_slower_than_the_limit_is_a_timeout(request_for: Requests) -> None:
    evaluation = evaluate(request_for(limits=RunLimits(image_seconds=0.0), latency_sample=5)).evaluation
    assert evaluation.not_measured["timeout"] == evaluation.images
    assert evaluation.clean.ratio is None


def test_image_above_the_pixel_limit_is_too_large(request_for: Requests, tmp_path: Path) -> None:
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / "a.png").write_bytes(image_bytes(1, size=(100, 100)))
    (tmp_path / "clean" / "b.png").write_bytes(image_bytes(1, size=(100, 101)))
    result = evaluate(request_for(dataset_root=tmp_path, limits=RunLimits(max_pixels=10_000)))
    assert not_measured_reasons(result) == {"clean/b.png": "too_large"}

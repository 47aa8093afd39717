"""Whole runs: equal numbers for any number of threads, every bad input counted by reason, nothing lost."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
import pickle
import shutil
import struct
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from starlight_exporter.dataset.layout import scan
from starlight_exporter.detector.compact import CompactImage
from starlight_exporter.detector.contract import Stream
from starlight_exporter.detector.decision import PLAIN, PRODUCTION, DecisionRule
from starlight_exporter.detector.model import Detector, Score
from starlight_exporter.detector.model_file import model_sha256
from starlight_exporter.detector.staged import FullModel
from starlight_exporter.detector.streams import DecodedImage, decode
from starlight_exporter.errors import DatasetError, EvaluationError, ImageError, ModelError
from starlight_exporter.evaluation import reading
from starlight_exporter.evaluation.accuracy import accuracy
from starlight_exporter.evaluation.bulk import BulkPass, predict_all
from starlight_exporter.evaluation.reading import LARGE_FILE_BYTES, ImageSource
from starlight_exporter.evaluation.request import RunLimits, RunRequest, available_cores
from starlight_exporter.evaluation.results import Evaluation, Prediction, RunResult
from starlight_exporter.evaluation.run import evaluate
from starlight_exporter.evaluation.serialise import from_json, to_json
from starlight_exporter.publish.predictions_csv import predictions_csv
from support.images import image_bytes
from support.models import write_constant_model, write_nan_for_alpha_model, write_random_model

Requests = Callable[..., RunRequest]


def untimed(result: RunResult) -> tuple[Evaluation, tuple[Prediction, ...]]:
    """A result without what must differ from run to run: times, the id, and when the model was loaded."""
    evaluation = replace(
        result.evaluation,
        id="",
        started_at=0.0,
        finished_at=0.0,
        duration_seconds=0.0,
        images_per_second=0.0,
        latency=None,
        model_facts=replace(result.evaluation.model_facts, loaded_at=0.0),
    )
    return evaluation, tuple(replace(entry, seconds=None) for entry in result.predictions)


def reasons(result: RunResult) -> dict[str, str]:
    return {entry.path: entry.not_measured for entry in result.predictions if entry.not_measured is not None}


def test_the_number_of_threads_changes_no_number(request_for: Requests) -> None:
    one, *others = (untimed(evaluate(request_for(threads=threads))) for threads in (1, 2, 5))
    assert {entry.verdict for entry in one[1]} == {True, False}
    for other in others:
        assert other == one


def test_counts_equal_those_made_from_the_table(request_for: Requests) -> None:
    result = evaluate(request_for(decision=PRODUCTION))
    rows = list(csv.DictReader(io.StringIO(predictions_csv(result.predictions))))
    evaluation = result.evaluation
    positive = Counter((row["label"], row["method"], row["format"], row["category"], row["verdict"]) for row in rows)

    def counts(**wanted: str) -> tuple[int, int]:
        names = ("label", "method", "format", "category")
        chosen = {
            key: count
            for key, count in positive.items()
            if all(dict(zip(names, key, strict=False))[name] == value for name, value in wanted.items())
        }
        return sum(n for key, n in chosen.items() if key[-1] == "stego"), sum(chosen.values())

    assert (evaluation.clean.count, evaluation.clean.total) == counts(label="clean")
    assert (evaluation.stego.count, evaluation.stego.total) == counts(label="stego")
    for name, by_format in evaluation.clean_by_format.items():
        assert (by_format.count, by_format.total) == counts(label="clean", format=name)
    for method, found in evaluation.detections.items():
        assert (found.count, found.total) == counts(label="stego", method=method)
    for category, found in evaluation.negatives.items():
        assert (found.count, found.total) == counts(label="negative", category=category)
    assert evaluation.images == len(rows) == 92
    assert 0 < evaluation.stego.count < evaluation.stego.total
    for row in rows:
        threshold = {"alpha": 0.7, "palette": 0.98, "lsb": 0.95, "exif": 0.5, "eoi": 0.65}[row["predicted_method"]]
        assert row["verdict"] == ("stego" if float(row["probability"]) > threshold else "clean")


def test_what_a_run_says_of_itself(request_for: Requests, model_path: Path, dataset_root: Path) -> None:
    result = evaluate(request_for(latency_sample=60, seed=7))
    evaluation = result.evaluation
    assert evaluation.provenance.model_sha256 == model_sha256(model_path)
    assert evaluation.provenance.dataset_fingerprint == scan("drawn", dataset_root).fingerprint
    assert evaluation.provenance.decision == "probability > 0.5"
    assert evaluation.provenance.seed == 7
    assert evaluation.model_facts.size_bytes == model_path.stat().st_size
    assert evaluation.started_at < evaluation.finished_at
    assert evaluation.duration_seconds > 0
    assert evaluation.images_per_second > 0
    assert evaluation.latency is not None
    assert evaluation.latency.images == 60
    assert [entry.quantile for entry in evaluation.latency.quantiles] == [0.5, 0.95]
    assert evaluation.quality.entropy_bits == pytest.approx(2.321928094887362)
    assert evaluation.training is None
    assert result.warnings == ()
    assert from_json(to_json(evaluation)) == evaluation


def test_a_run_in_a_spawned_process_gives_the_same(request_for: Requests) -> None:
    request = request_for(latency_sample=10)
    assert pickle.loads(pickle.dumps(request)) == request
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = pool.submit(evaluate, request).result(timeout=120)
        with pytest.raises(ModelError) as error:
            pool.submit(evaluate, replace(request, model_path=Path("gone.onnx"))).result(timeout=120)
    assert error.value.reason == "missing"
    assert untimed(there) == untimed(evaluate(request))
    assert there.latency is not None
    assert there.latency.seconds["total"].shape == (10,)


@pytest.fixture
def bad_root(tmp_path: Path, dataset_root: Path) -> Path:
    """A few good files, and one of every bad kind."""
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
    (stego / "nobody.png").write_bytes(image_bytes(4))
    return root


def test_bad_files_are_counted_by_reason_and_the_others_measured(request_for: Requests, bad_root: Path) -> None:
    result = evaluate(request_for(dataset_root=bad_root, limits=RunLimits(max_file_bytes=100_000), latency_sample=1000))
    assert reasons(result) == {
        "clean/empty.png": "unreadable",
        "clean/text.jpg": "unreadable",
        "clean/truncated.png": "unreadable",
        "clean/huge.png": "too_large",
        "clean/large.bmp": "too_large",
        "stego/nobody.png": "unlabelled",
    }
    evaluation = result.evaluation
    assert evaluation.not_measured == {
        "unreadable": 3,
        "too_large": 2,
        "timeout": 0,
        "model_error": 0,
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


def test_good_files_are_measured_the_same_beside_bad_ones(request_for: Requests, bad_root: Path) -> None:
    alone = {entry.path: entry.probability for entry in evaluate(request_for()).predictions}
    for entry in evaluate(request_for(dataset_root=bad_root)).predictions:
        if entry.path in alone:
            assert entry.probability == alone[entry.path]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_permissions_are_a_reason(request_for: Requests, bad_root: Path) -> None:
    (bad_root / "clean" / "large.bmp").chmod(0)
    assert reasons(evaluate(request_for(dataset_root=bad_root)))["clean/large.bmp"] == "unreadable"


def test_a_model_that_answers_nan_is_counted_for_these_images_alone(request_for: Requests, tmp_path: Path) -> None:
    result = evaluate(request_for(model_path=write_nan_for_alpha_model(tmp_path / "nan.onnx"), latency_sample=10))
    evaluation = result.evaluation
    failed = {path for path, reason in reasons(result).items() if reason == "model_error"}
    assert len(failed) == evaluation.not_measured["model_error"] == 8 + 4
    assert evaluation.detections["alpha"].ratio is None
    assert evaluation.detections["lsb"].ratio == 1.0
    assert evaluation.clean.total == 36


def test_a_model_that_always_answers_nan_has_no_rates(request_for: Requests, tmp_path: Path) -> None:
    model = write_constant_model(tmp_path / "nan.onnx", logit=float("nan"))
    evaluation = evaluate(request_for(model_path=model, latency_sample=10)).evaluation
    assert evaluation.not_measured["model_error"] == evaluation.images == 92
    assert evaluation.clean.ratio is evaluation.stego.ratio is evaluation.roc_auc is None
    assert evaluation.latency is None
    assert evaluation.confusion == {}


def test_a_constant_model_is_no_better_than_chance(request_for: Requests, tmp_path: Path) -> None:
    model = write_constant_model(tmp_path / "always.onnx", logit=1.0, method_logits=(0, 0, 9, 0, 0))
    evaluation = evaluate(request_for(model_path=model)).evaluation
    assert (evaluation.clean.ratio, evaluation.stego.ratio, evaluation.roc_auc) == (1.0, 1.0, 0.5)
    assert evaluation.confusion["clean"]["lsb"] == 40


def test_a_rule_per_method_needs_a_model_with_methods(request_for: Requests, tmp_path: Path) -> None:
    model = write_random_model(tmp_path / "plain.onnx", method_output=False)
    with pytest.raises(ModelError, match=r"plain\.onnx: predicts no method") as error:
        evaluate(request_for(model_path=model, decision=PRODUCTION))
    assert error.value.reason == "signature"
    assert evaluate(request_for(model_path=model, decision=PLAIN)).evaluation.confusion == {}


def test_another_model_than_expected_is_refused(request_for: Requests, model_path: Path) -> None:
    assert evaluate(request_for(expected_sha256=model_sha256(model_path))).evaluation.images == 92
    with pytest.raises(ModelError) as error:
        evaluate(request_for(expected_sha256="0" * 64))
    assert error.value.reason == "changed"


def test_nothing_to_run_is_an_error_that_names_it(request_for: Requests, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ModelError, match=r"text\.onnx"):
        evaluate(request_for(model_path=tmp_path / "text.onnx"))
    with pytest.raises(DatasetError, match="nowhere"):
        evaluate(request_for(dataset_root=tmp_path / "nowhere"))
    (tmp_path / "bare" / "clean").mkdir(parents=True)
    with pytest.raises(DatasetError, match="bare"):
        evaluate(request_for(dataset_root=tmp_path / "bare"))
    for wrong in ({"threads": 0}, {"latency_sample": -1}, {"seed": -1}):
        with pytest.raises(EvaluationError, match="small on drawn"):
            evaluate(request_for(**wrong))


def test_one_class_alone_leaves_the_others_not_measured(request_for: Requests, tmp_path: Path) -> None:
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / "a.png").write_bytes(image_bytes(1))
    evaluation = evaluate(request_for(dataset_root=tmp_path)).evaluation
    assert evaluation.clean.total == 1
    assert evaluation.stego.ratio is evaluation.roc_auc is evaluation.quality.entropy_bits is None
    assert evaluation.log_loss is not None
    assert evaluation.negatives == {}


def bulk_pass(request: RunRequest) -> BulkPass:
    source = ImageSource(request.dataset_root, request.limits)
    scorer = FullModel(Detector.load(request.model_path))
    return BulkPass(source, scorer, request.decision, image_seconds=request.limits.image_seconds)


def test_files_that_change_after_the_scan_are_unreadable(request_for: Requests, tmp_path: Path) -> None:
    paths = [tmp_path / "clean" / f"{name}.png" for name in ("gone", "kept", "longer", "other", "shorter")]
    paths[0].parent.mkdir()
    for seed, path in enumerate(paths):
        path.write_bytes(image_bytes(seed))
    gone, kept, longer, other, shorter = paths
    files = scan("changing", tmp_path).files
    size = other.stat().st_size
    gone.unlink()
    longer.write_bytes(longer.read_bytes() + b"x")
    other.write_bytes(bytes([*other.read_bytes()[: size - 1], 0x55]))
    shorter.write_bytes(shorter.read_bytes()[:-1])
    made = predict_all(bulk_pass(request_for(dataset_root=tmp_path)), files, threads=2, progress=lambda *_: None)
    assert [entry.not_measured for entry in made] == ["unreadable", None, "unreadable", "unreadable", "unreadable"]
    assert [entry.detail.partition(": ")[2] for entry in made] == [
        "cannot be read: No such file or directory",
        "",
        "changed its size since the dataset was scanned",
        "changed since the dataset was scanned",
        "changed its size since the dataset was scanned",
    ]
    assert kept.exists()


def test_waiting_for_another_large_picture_is_no_time_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LARGE_PIXELS", 0)
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / "a.png").write_bytes(image_bytes(1))
    (file,) = scan("large", tmp_path).files
    source = ImageSource(tmp_path, RunLimits())
    with ThreadPoolExecutor(1) as pool:
        with source._reader._large:
            waiting = pool.submit(source.timed, file)
            time.sleep(1.0)
            assert not waiting.done()
        assert waiting.result()[1] < 1.0


def test_an_image_slower_than_the_limit_is_a_timeout(request_for: Requests) -> None:
    evaluation = evaluate(request_for(limits=RunLimits(image_seconds=0.0), latency_sample=5)).evaluation
    assert evaluation.not_measured["timeout"] == evaluation.images
    assert evaluation.clean.ratio is None


def test_large_pictures_are_measured_one_at_a_time_and_like_the_others(
    request_for: Requests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clean").mkdir()
    for index in range(6):
        (tmp_path / "clean" / f"{index}.png").write_bytes(image_bytes(index, size=(100 + 30 * (index % 2), 100)))
    small = evaluate(request_for(dataset_root=tmp_path, threads=3))
    monkeypatch.setattr("starlight_exporter.evaluation.reading.LARGE_PIXELS", 10_000)
    inside: list[int] = []
    most: list[int] = []

    def watched(data: bytes, *, max_pixels: int) -> DecodedImage:
        if max_pixels == 10_000:
            return decode(data, max_pixels=max_pixels)
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.02)
        decoded = decode(data, max_pixels=max_pixels)
        inside.pop()
        return decoded

    monkeypatch.setattr("starlight_exporter.evaluation.reading.decode", watched)
    large = evaluate(request_for(dataset_root=tmp_path, threads=3))
    # Three pictures are large: once for the comparison of staged and whole model, once for the verdicts.
    assert most == [1] * 6
    assert untimed(large) == untimed(small)


def test_a_file_above_the_large_limit_takes_the_same_way(request_for: Requests, tmp_path: Path) -> None:
    (tmp_path / "clean").mkdir()
    path = tmp_path / "clean" / "padded.bmp"
    path.write_bytes(image_bytes(1, "bmp") + bytes(LARGE_FILE_BYTES))
    (tmp_path / "clean" / "plain.bmp").write_bytes(image_bytes(1, "bmp"))
    padded, plain = evaluate(request_for(dataset_root=tmp_path)).predictions
    assert padded.probability == plain.probability is not None


def test_too_many_pixels_are_too_large(request_for: Requests, tmp_path: Path) -> None:
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / "a.png").write_bytes(image_bytes(1, size=(100, 100)))
    (tmp_path / "clean" / "b.png").write_bytes(image_bytes(1, size=(100, 101)))
    result = evaluate(request_for(dataset_root=tmp_path, limits=RunLimits(max_pixels=10_000)))
    assert reasons(result) == {"clean/b.png": "too_large"}


class _Faulty:
    """A detector with a bug: it fails in a way that no image and no model explains."""

    streams: frozenset[Stream] = frozenset({"format"})

    def __init__(self, error: Exception) -> None:
        self._error = error

    def score(self, images: Sequence[CompactImage]) -> list[Score | ImageError]:
        if isinstance(self._error, ImageError):
            return [self._error] * len(images)
        raise self._error


def faulty(error: Exception, root: Path) -> BulkPass:
    return BulkPass(ImageSource(root, RunLimits()), _Faulty(error), PLAIN, image_seconds=30.0)


def test_a_bug_fails_the_run_and_names_the_files(dataset_root: Path) -> None:
    bulk = faulty(ZeroDivisionError("oops"), dataset_root)
    with pytest.raises(EvaluationError, match=r"^\w+/.* to \w+/.*: ZeroDivisionError: oops$") as error:
        predict_all(bulk, scan("drawn", dataset_root).files, threads=2, progress=lambda *_: None)
    assert isinstance(error.value.__cause__, ZeroDivisionError)


def test_a_model_error_in_mid_run_passes_through(dataset_root: Path) -> None:
    broken = ModelError("gone", reason="changed")
    files = scan("drawn", dataset_root).files
    with pytest.raises(ModelError) as error:
        predict_all(faulty(broken, dataset_root), files, threads=2, progress=lambda *_: None)
    assert error.value is broken


def test_an_image_error_is_one_image(dataset_root: Path) -> None:
    bulk = faulty(ImageError("no", reason="model_error"), dataset_root)
    made = predict_all(bulk, scan("drawn", dataset_root).files, threads=2, progress=lambda *_: None)
    assert accuracy(made).not_measured["model_error"] == 92


def test_progress_reaches_the_end_and_the_file(request_for: Requests, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = tmp_path / "progress.json"
    result = evaluate(
        request_for(latency_sample=10, progress_file=path), progress=lambda done, total: seen.append((done, total))
    )
    assert result.warnings == ()
    assert {total for _, total in seen} == {102}
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (102, 102)
    assert json.loads(path.read_text()) == {"done": 102, "total": 102}
    assert list(tmp_path.iterdir()) == [path]


def test_a_progress_file_that_cannot_be_written_costs_a_warning(request_for: Requests, tmp_path: Path) -> None:
    result = evaluate(request_for(progress_file=tmp_path / "gone" / "progress.json"))
    assert result.evaluation.clean.total == 40
    assert len(result.warnings) == 1
    assert "progress cannot be written" in result.warnings[0]


def test_a_caller_that_gives_up_ends_the_run(request_for: Requests) -> None:
    def give_up(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(request_for(), progress=give_up)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("evaluate")]


def test_training_health_comes_along_or_a_warning(request_for: Requests, tmp_path: Path) -> None:
    log = tmp_path / "training.jsonl"
    log.write_text('{"epoch": 1, "train_loss": 0.5, "validation_loss": 0.6}\n')
    training = evaluate(request_for(training_log=log)).evaluation.training
    assert training is not None
    assert training.generalization_gap == pytest.approx(0.1)
    log.write_text("{")
    result = evaluate(request_for(training_log=log))
    assert result.evaluation.training is None
    assert result.warnings[0].startswith(f"{log}:1: not JSON")


def test_the_rule_decides_and_not_the_probabilities(request_for: Requests) -> None:
    low, high = (evaluate(request_for(decision=DecisionRule.single(t))) for t in (0.0, 1.0))
    assert [entry.probability for entry in low.predictions] == [entry.probability for entry in high.predictions]
    assert (low.evaluation.clean.ratio, high.evaluation.clean.ratio) == (1.0, 0.0)
    assert low.evaluation.roc_auc == high.evaluation.roc_auc


def test_cores_are_those_of_this_process() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)

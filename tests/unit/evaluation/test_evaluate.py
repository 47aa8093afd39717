"""Evaluation runs: reproducible results, provenance, models that fail."""

from __future__ import annotations

import csv
import io
import multiprocessing
import os
import pickle
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from starlight_exporter.dataset.layout import scan
from starlight_exporter.detector.decision import PLAIN, PRODUCTION, DecisionRule
from starlight_exporter.detector.model import Detector, Score
from starlight_exporter.detector.model_file import model_sha256
from starlight_exporter.detector.staged import FullModel
from starlight_exporter.errors import DatasetError, EvaluationError, ModelError
from starlight_exporter.evaluation.request import RunRequest, available_cores
from starlight_exporter.evaluation.run import evaluate
from starlight_exporter.evaluation.serialisation import from_json, to_json
from starlight_exporter.publish.predictions_csv import predictions_csv
from support.images import compact_images, image_bytes
from support.models import write_constant_model, write_nan_for_alpha_model, write_random_model
from support.results import not_measured_reasons, without_times
from support.staged import raise_staged_log_odds

pytestmark = pytest.mark.slow

Requests = Callable[..., RunRequest]


def test_results_do_not_depend_on_the_number_of_threads(request_for: Requests) -> None:
    one, *others = (without_times(evaluate(request_for(threads=threads))) for threads in (1, 2, 5))
    assert {entry.verdict for entry in one[1]} == {True, False}
    for other in others:
        assert other == one


def test_verdicts_at_a_threshold_are_those_of_the_full_model(
    request_for: Requests, model_path: Path, dataset_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = FullModel(Detector.load(model_path)).score(compact_images(dataset_root))
    probabilities = [score.probability for score in scores if isinstance(score, Score)]
    threshold = sorted(probabilities)[len(probabilities) // 2]
    # With the raised log-odds, the staged probability is above the threshold, and the full model's is not.
    raise_staged_log_odds(monkeypatch)
    result = evaluate(request_for(decision=DecisionRule.single(threshold)))
    assert result.evaluation.execution is not None
    assert result.evaluation.execution.full_model_reason is None
    assert [entry.verdict for entry in result.predictions] == [value > threshold for value in probabilities]


def test_counts_agree_with_the_predictions_csv(request_for: Requests) -> None:
    result = evaluate(request_for(decision=PRODUCTION))
    rows = list(csv.DictReader(io.StringIO("".join(predictions_csv(result.predictions)))))
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


def test_stores_provenance_and_model_facts(request_for: Requests, model_path: Path, dataset_root: Path) -> None:
    result = evaluate(request_for(latency_sample=60, seed=7))
    evaluation = result.evaluation
    assert evaluation.provenance.model_sha256 == model_sha256(model_path)
    assert evaluation.provenance.dataset_fingerprint == scan("generated", dataset_root).fingerprint
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


def test_spawned_process_gives_the_same_result(request_for: Requests, tmp_path: Path) -> None:
    request = request_for(latency_sample=10, predictions_file=tmp_path / "predictions.sqlite")
    assert pickle.loads(pickle.dumps(request)) == request
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = pool.submit(evaluate, request).result(timeout=120)
        with pytest.raises(ModelError) as error:
            pool.submit(evaluate, replace(request, model_path=Path("gone.onnx"))).result(timeout=120)
    assert error.value.reason == "missing"
    assert without_times(there) == without_times(evaluate(replace(request, predictions_file=None)))
    assert there.latency is not None
    assert there.latency.seconds["total"].shape == (10,)


def test_nan_output_is_a_model_error_of_that_image(request_for: Requests, tmp_path: Path) -> None:
    result = evaluate(request_for(model_path=write_nan_for_alpha_model(tmp_path / "nan.onnx"), latency_sample=10))
    evaluation = result.evaluation
    failed = {path for path, reason in not_measured_reasons(result).items() if reason == "model_error"}
    assert len(failed) == evaluation.not_measured["model_error"] == 8 + 4
    assert evaluation.detections["alpha"].ratio is None
    assert evaluation.detections["lsb"].ratio == 1.0
    assert evaluation.clean.total == 36


def test_model_with_only_nan_outputs_has_no_rates(request_for: Requests, tmp_path: Path) -> None:
    model = write_constant_model(tmp_path / "nan.onnx", logit=float("nan"))
    evaluation = evaluate(request_for(model_path=model, latency_sample=10)).evaluation
    assert evaluation.not_measured["model_error"] == evaluation.images == 92
    assert evaluation.clean.ratio is evaluation.stego.ratio is evaluation.roc_auc is None
    assert evaluation.latency is None
    assert evaluation.confusion == {}


def test_constant_model_has_auc_of_one_half(request_for: Requests, tmp_path: Path) -> None:
    model = write_constant_model(tmp_path / "always.onnx", logit=1.0, method_logits=(0, 0, 9, 0, 0))
    evaluation = evaluate(request_for(model_path=model)).evaluation
    assert (evaluation.clean.ratio, evaluation.stego.ratio, evaluation.roc_auc) == (1.0, 1.0, 0.5)
    assert evaluation.confusion["clean"]["lsb"] == 40
    assert evaluation.figures is not None
    assert {one.not_measured for one in evaluation.figures.figures.values()} == {"constant_scores"}


def test_model_without_methods_is_decided_by_one_threshold(request_for: Requests, tmp_path: Path) -> None:
    model = write_random_model(tmp_path / "plain.onnx", method_output=False)
    result = evaluate(request_for(model_path=model, decision=PRODUCTION))
    evaluation = result.evaluation
    assert evaluation.provenance.decision == "probability > 0.5"
    assert evaluation.replaced_decision == evaluation.requested_decision == PRODUCTION.describe()
    assert evaluation.confusion == {}
    (warning,) = result.warnings
    assert warning == f"{model}: predicts no method: decided by probability > 0.5, not by {PRODUCTION.describe()}"
    plain = evaluate(request_for(model_path=model, decision=PLAIN))
    assert (plain.evaluation.replaced_decision, plain.warnings) == (None, ())
    assert plain.evaluation.requested_decision == "probability > 0.5"
    assert without_times(plain)[1] == without_times(result)[1]


def test_rejects_model_with_unexpected_hash(request_for: Requests, model_path: Path) -> None:
    assert evaluate(request_for(expected_sha256=model_sha256(model_path))).evaluation.images == 92
    with pytest.raises(ModelError) as error:
        evaluate(request_for(expected_sha256="0" * 64))
    assert error.value.reason == "changed"


def test_error_names_unusable_model_dataset_and_request(request_for: Requests, tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(ModelError, match=r"text\.onnx"):
        evaluate(request_for(model_path=tmp_path / "text.onnx"))
    with pytest.raises(DatasetError, match="nowhere"):
        evaluate(request_for(dataset_root=tmp_path / "nowhere"))
    (tmp_path / "bare" / "clean").mkdir(parents=True)
    with pytest.raises(DatasetError, match="bare"):
        evaluate(request_for(dataset_root=tmp_path / "bare"))
    for wrong in ({"threads": 0}, {"latency_sample": -1}, {"seed": -1}):
        with pytest.raises(EvaluationError, match="small on generated"):
            evaluate(request_for(**wrong))


def test_classes_without_files_are_not_measured(request_for: Requests, tmp_path: Path) -> None:
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / "a.png").write_bytes(image_bytes(1))
    evaluation = evaluate(request_for(dataset_root=tmp_path)).evaluation
    assert evaluation.clean.total == 1
    assert evaluation.stego.ratio is evaluation.roc_auc is evaluation.quality.entropy_bits is None
    assert evaluation.log_loss is not None
    assert evaluation.negatives == {}
    assert evaluation.figures is not None
    assert (evaluation.figures.clean, evaluation.figures.stego, evaluation.figures.roc) == (1, 0, ())
    assert {one.not_measured for one in evaluation.figures.figures.values()} == {"one_class"}


def test_stores_training_health_or_adds_a_warning(request_for: Requests, tmp_path: Path) -> None:
    log = tmp_path / "training.jsonl"
    log.write_text('{"epoch": 1, "train_loss": 0.5, "validation_loss": 0.6}\n')
    training = evaluate(request_for(training_log=log)).evaluation.training
    assert training is not None
    assert training.generalization_gap == pytest.approx(0.1)
    log.write_text("{")
    result = evaluate(request_for(training_log=log))
    assert result.evaluation.training is None
    assert result.warnings[0].startswith(f"{log}:1: not JSON")


def test_decision_rule_changes_verdicts_but_not_probabilities(request_for: Requests) -> None:
    low, high = (evaluate(request_for(decision=DecisionRule.single(t))) for t in (0.0, 1.0))
    assert [entry.probability for entry in low.predictions] == [entry.probability for entry in high.predictions]
    assert (low.evaluation.clean.ratio, high.evaluation.clean.ratio) == (1.0, 0.0)
    assert low.evaluation.roc_auc == high.evaluation.roc_auc


def test_available_cores_are_those_of_this_process() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)

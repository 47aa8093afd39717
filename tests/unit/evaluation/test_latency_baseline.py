"""Evaluations with a baseline model: the latency ratio of the result, and baseline models that cannot be used."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from starlight_exporter.detector.decision import PLAIN, PRODUCTION
from starlight_exporter.detector.model_file import model_sha256
from starlight_exporter.evaluation.request import BaselineModel, RunRequest
from starlight_exporter.evaluation.run import evaluate
from starlight_exporter.evaluation.serialisation import from_json, to_json
from support.models import write_constant_model, write_random_model

pytestmark = pytest.mark.slow

Requests = Callable[..., RunRequest]

WARNING = "latency not compared with the baseline model: "


def test_model_is_never_significantly_slower_than_itself(request_for: Requests, model_path: Path) -> None:
    request = request_for(latency_sample=1000, baseline=BaselineModel(model_path, PLAIN))
    assert pickle.loads(pickle.dumps(request)) == request
    result = evaluate(request)
    ratio, summary = result.evaluation.latency_ratio, result.evaluation.latency
    assert ratio is not None
    assert summary is not None
    assert result.warnings == ()
    # 92 images, 11 times each; the summary has one timing per image.
    assert (ratio.timings, summary.images) == (1012, 92)
    assert ratio.enough
    assert ratio.baseline_sha256 == model_sha256(model_path)
    assert ratio.cpu.value == pytest.approx(1.0, abs=0.15)
    assert ratio.cpu.lower <= ratio.cpu.value <= ratio.cpu.upper
    assert not ratio.exceeds(1.2)
    assert 0.0 <= ratio.contention < 1.0
    assert summary.contention is not None
    assert from_json(to_json(result.evaluation)) == result.evaluation


def test_baseline_is_timed_under_its_own_decision_rule(request_for: Requests, tmp_path: Path) -> None:
    plain = write_random_model(tmp_path / "plain.onnx", method_output=False)
    result = evaluate(request_for(decision=PRODUCTION, latency_sample=4, baseline=BaselineModel(plain, PLAIN)))
    assert result.evaluation.latency_ratio is not None
    assert result.evaluation.latency_ratio.baseline_sha256 == model_sha256(plain)
    assert result.evaluation.latency_ratio.timings == 4
    assert not result.evaluation.latency_ratio.enough
    replaced = evaluate(request_for(latency_sample=4, baseline=BaselineModel(plain, PRODUCTION)))
    assert replaced.evaluation.latency_ratio is not None
    assert replaced.warnings == ()


@pytest.mark.parametrize(("content", "reason"), [(None, "no such model file"), (b"text", "not a loadable ONNX model")])
def test_unusable_baseline_file_adds_a_warning(
    request_for: Requests, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "baseline.onnx"
    if content is not None:
        file.write_bytes(content)
    steps: list[tuple[int, int]] = []
    result = evaluate(
        request_for(latency_sample=5, baseline=BaselineModel(file, PLAIN)),
        progress=lambda *step: steps.append(step),
    )
    assert result.evaluation.latency_ratio is None
    assert result.evaluation.latency is not None
    assert result.evaluation.latency.images == 5
    assert result.evaluation.latency.contention is not None
    assert len(result.warnings) == 1
    assert result.warnings[0].startswith(f"{WARNING}{file}: ")
    assert reason in result.warnings[0]
    assert steps[-1] == (92 + 10, 92 + 10)


def test_baseline_without_a_verdict_on_any_image_adds_a_warning(request_for: Requests, tmp_path: Path) -> None:
    broken = write_constant_model(tmp_path / "nan.onnx", logit=float("nan"))
    result = evaluate(request_for(latency_sample=5, baseline=BaselineModel(broken, PLAIN)))
    assert result.evaluation.latency_ratio is None
    assert result.evaluation.latency is not None
    assert result.evaluation.latency.images == 5
    assert result.warnings == (f"{WARNING}{broken}: no image was timed with both models",)


def test_progress_of_a_paired_run_never_exceeds_its_total(request_for: Requests, model_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    evaluate(
        request_for(latency_sample=100, baseline=BaselineModel(model_path, PLAIN)),
        progress=lambda *step: steps.append(step),
    )
    total = 92 + 2 * 92 * 2
    assert {of for _, of in steps} == {total}
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert steps[-1] == (total, total)


def test_without_baseline_or_latency_sample_there_is_no_ratio(request_for: Requests, tmp_path: Path) -> None:
    single = evaluate(request_for(latency_sample=5))
    assert single.evaluation.latency_ratio is None
    assert single.evaluation.latency is not None
    assert single.evaluation.latency.contention is not None
    skipped = evaluate(request_for(latency_sample=0, baseline=BaselineModel(tmp_path / "absent.onnx", PLAIN)))
    assert skipped.evaluation.latency is None
    assert skipped.evaluation.latency_ratio is None
    assert skipped.warnings == ()
    assert json.loads(to_json(skipped.evaluation))["latency_ratio"] is None

"""Evaluations with another execution provider than the CPU: provenance, comparability, latency."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from starlight_exporter.checks.baseline import Baseline, read_baseline
from starlight_exporter.checks.baseline_recording import baseline_json, misclassified_files
from starlight_exporter.checks.basis import basis_against_model, basis_against_recorded
from starlight_exporter.checks.machine import current_machine
from starlight_exporter.detector.decision import PLAIN
from starlight_exporter.detector.providers import CPU, ExecutionProvider, Providers
from starlight_exporter.errors import ModelError
from starlight_exporter.evaluation.request import BaselineModel, RunRequest
from starlight_exporter.evaluation.results import RunResult
from starlight_exporter.evaluation.run import evaluate
from starlight_exporter.evaluation.spec import differences
from support.run_cache import RunCache
from support.run_requests import run_request

MakeRequest = Callable[..., RunRequest]

# In every build of ONNX Runtime for Linux: all operators still run on the CPU.
AZURE = (ExecutionProvider("AzureExecutionProvider"),)
DIFFERENT = "different execution providers (CPUExecutionProvider; AzureExecutionProvider)"


def evaluated(model: Path, dataset: Path, providers: Providers) -> RunResult:
    return evaluate(run_request(model, dataset, latency_sample=20, providers=providers))


@pytest.fixture(scope="module")
def on_cpu(model_path: Path, dataset_root: Path) -> RunResult:
    return evaluated(model_path, dataset_root, CPU)


@pytest.fixture(scope="module")
def on_azure(model_path: Path, dataset_root: Path) -> RunResult:
    return evaluated(model_path, dataset_root, AZURE)


def test_provider_is_in_the_provenance_and_part_of_comparability(on_cpu: RunResult, on_azure: RunResult) -> None:
    assert on_azure.evaluation.provenance.execution_provider == "AzureExecutionProvider"
    assert differences(on_cpu.evaluation.provenance, on_azure.evaluation.provenance) == DIFFERENT


def test_full_model_runs_in_measured_batches_with_the_same_predictions(on_cpu: RunResult, on_azure: RunResult) -> None:
    execution = on_azure.evaluation.execution
    assert execution is not None
    assert execution.batch in (1, 2, 4, 8, 16)
    assert execution.full_model_reason == (
        f"AzureExecutionProvider runs the full model, {execution.batch} images per call"
    )
    for ours, theirs in zip(on_azure.predictions, on_cpu.predictions, strict=True):
        assert (ours.path, ours.verdict) == (theirs.path, theirs.verdict)
        assert ours.predicted_method == theirs.predicted_method
        assert ours.probability == pytest.approx(theirs.probability, abs=1e-5)


def test_latencies_of_a_baseline_model_on_another_provider_are_not_comparable(
    on_cpu: RunResult, on_azure: RunResult
) -> None:
    basis = basis_against_model(on_azure.evaluation, on_azure.predictions, on_cpu.evaluation, on_cpu.predictions)
    assert basis.baseline is not None
    assert basis.baseline.obstacle is None
    assert basis.baseline.latency_obstacle is not None
    assert DIFFERENT in basis.baseline.latency_obstacle.text
    same = basis_against_model(on_cpu.evaluation, on_cpu.predictions, on_cpu.evaluation, on_cpu.predictions)
    assert same.baseline is not None
    assert same.baseline.latency_obstacle is None


def test_baseline_model_is_timed_on_the_provider_of_the_model(request_for: MakeRequest, run_cache: RunCache) -> None:
    baseline = BaselineModel(run_cache.random_model(seed=4, scale=40.0), PLAIN)
    result = evaluate(request_for(latency_sample=20, providers=AZURE, baseline=baseline))
    assert result.evaluation.latency_ratio is not None
    assert result.warnings == ()


def recorded(result: RunResult, folder: Path) -> Baseline:
    evaluation = result.evaluation
    machine = current_machine(evaluation.provenance.execution_provider)
    file = folder / "baseline.json"
    file.write_text(baseline_json(evaluation, misclassified_files(result.predictions), command="test", machine=machine))
    return read_baseline(file)


def test_recorded_latencies_have_a_provider_of_their_own(
    on_cpu: RunResult, on_azure: RunResult, tmp_path: Path
) -> None:
    baseline = recorded(on_azure, tmp_path)
    own = basis_against_recorded(on_azure.evaluation, on_azure.predictions, baseline).baseline
    assert own is not None
    assert (own.obstacle, own.latency_obstacle) == (None, None)
    other = basis_against_recorded(on_cpu.evaluation, on_cpu.predictions, baseline).baseline
    assert other is not None
    assert other.obstacle is None
    assert other.latency_obstacle is not None
    assert "different execution providers (AzureExecutionProvider; CPUExecutionProvider)" in other.latency_obstacle.text


def test_missing_provider_fails_the_evaluation_with_its_reason(request_for: MakeRequest) -> None:
    missing = (ExecutionProvider("OpenVINOExecutionProvider"),)
    with pytest.raises(ModelError, match="is not in the installed ONNX Runtime") as raised:
        evaluate(replace(request_for(), providers=missing))
    assert raised.value.reason == "provider"

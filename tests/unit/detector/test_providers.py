"""Execution providers: what a session has is compared with what was requested, never silently replaced by the CPU."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path

import onnxruntime
import pytest

from starlight_exporter.detector.model import Detector
from starlight_exporter.detector.providers import (
    CPU,
    ExecutionProvider,
    Providers,
    describe_providers,
    onnxruntime_version,
    parse_provider,
    provider_problem,
)
from starlight_exporter.errors import ModelError
from support.models import write_random_model

OPENVINO = ExecutionProvider("OpenVINOExecutionProvider", (("device_type", "CPU"),))
# In every build of ONNX Runtime for Linux. It runs nothing itself.
AZURE = ExecutionProvider("AzureExecutionProvider")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_model(tmp_path_factory.mktemp("model") / "model.onnx")


def error_of(model: Path, *providers: ExecutionProvider) -> ModelError:
    with pytest.raises(ModelError) as raised:
        Detector.load(model, providers=providers)
    return raised.value


def test_model_runs_on_the_cpu_by_default(model: Path) -> None:
    assert Detector.load(model).providers == CPU


def test_loads_with_another_provider(model: Path) -> None:
    detector = Detector.load(model, providers=(AZURE,))
    assert detector.providers == (AZURE,)
    assert detector._session.get_providers() == ["AzureExecutionProvider", "CPUExecutionProvider"]


def test_missing_provider_is_an_error(model: Path) -> None:
    error = error_of(model, OPENVINO)
    assert error.reason == "provider"
    assert f"{model}: OpenVINOExecutionProvider is not in the installed ONNX Runtime, which has" in str(error)


def test_provider_that_is_silently_replaced_by_the_cpu_is_an_error(
    model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    names = [OPENVINO.name, *onnxruntime.get_available_providers()]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: names)
    with pytest.warns(UserWarning, match="not in available provider names"):
        error = error_of(model, OPENVINO)
    assert error.reason == "provider"
    assert str(error) == (
        f"{model}: requested OpenVINOExecutionProvider, CPUExecutionProvider, but ONNX Runtime uses"
        " CPUExecutionProvider"
    )
    # Commands write results to standard output.
    assert capfd.readouterr().out == ""


def test_invalid_model_is_not_blamed_on_the_provider(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    assert error_of(tmp_path / "model.onnx", AZURE).reason == "invalid"


@pytest.mark.parametrize(
    ("requested", "names", "problem"),
    [
        (CPU, ["CPUExecutionProvider"], None),
        ((OPENVINO,), ["OpenVINOExecutionProvider", "CPUExecutionProvider"], None),
        ((OPENVINO, *CPU), ["OpenVINOExecutionProvider", "CPUExecutionProvider"], None),
        (CPU, ["AzureExecutionProvider", "CPUExecutionProvider"], "requested CPUExecutionProvider, but"),
        ((OPENVINO, AZURE), ["AzureExecutionProvider", "OpenVINOExecutionProvider", "CPUExecutionProvider"], "but"),
        ((OPENVINO,), [], "but ONNX Runtime uses none"),
    ],
)
def test_compares_requested_and_loaded_providers(
    requested: Providers, names: Sequence[str], problem: str | None
) -> None:
    found = provider_problem(requested, names)
    assert (found is None) == (problem is None)
    assert problem is None or problem in (found or "")


def test_description_has_options_and_omits_the_cpu_that_every_session_has() -> None:
    assert describe_providers(CPU) == "CPUExecutionProvider"
    assert describe_providers((OPENVINO, AZURE, *CPU)) == (
        "OpenVINOExecutionProvider (device_type=CPU), AzureExecutionProvider"
    )


def test_parses_options() -> None:
    assert parse_provider("AzureExecutionProvider") == AZURE
    assert parse_provider("OpenVINOExecutionProvider:num_streams=2,device_type=CPU") == ExecutionProvider.with_options(
        "OpenVINOExecutionProvider", {"device_type": "CPU", "num_streams": 2}
    )


@pytest.mark.parametrize(
    "text", ["", "CUDA", "CUDAExecutionProvider:", "CUDAExecutionProvider:device_id", "CUDAExecutionProvider:=1"]
)
def test_rejects_text_that_is_no_provider(text: str) -> None:
    with pytest.raises(ValueError, match="expected an execution provider such as CUDAExecutionProvider:device_id=1"):
        parse_provider(text)


def test_rejects_an_option_that_is_given_twice() -> None:
    with pytest.raises(ValueError, match="each option of CUDAExecutionProvider once"):
        parse_provider("CUDAExecutionProvider:device_id=0,device_id=1")


def test_version_is_that_of_the_imported_package(monkeypatch: pytest.MonkeyPatch) -> None:
    # Another distribution, such as onnxruntime-openvino, may have replaced the files of onnxruntime.
    monkeypatch.setattr(importlib.metadata, "version", lambda _name: "0.0")
    onnxruntime_version.cache_clear()
    assert onnxruntime_version() == onnxruntime.__version__

"""A model on a real execution provider: OpenVINO, whose ONNX Runtime is before the installed one on Python's path."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.run_cache import RunCache

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ROOT / "tests" / "openvino" / ".packages"
MODEL = ROOT / "models" / "v4" / "model.onnx"
OPENVINO = "OpenVINOExecutionProvider:device_type=CPU"

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    pytest.mark.skipif(not PACKAGES.is_dir(), reason="no wheel of onnxruntime-openvino: see tests/openvino/fetch"),
]


def starlight(*arguments: object) -> subprocess.CompletedProcess[str]:
    code = "import sys; from starlight_exporter.cli.main import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (PACKAGES, ROOT / "exporter")))},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def evaluate(dataset: Path, out: Path, provider: str) -> tuple[dict[str, Any], list[dict[str, str]]]:
    done = starlight(
        "evaluate",
        *("--model", MODEL, "--dataset", dataset, "--provider", provider, "--latency-sample", 10, "--threads", 2),
        *("--output", out / "metrics.json", "--predictions", out / "predictions.csv"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with (out / "predictions.csv").open(newline="") as file:
        return json.loads((out / "metrics.json").read_text()), list(csv.DictReader(file))


def test_predictions_on_openvino_equal_those_on_the_cpu(run_cache: RunCache, tmp_path: Path) -> None:
    dataset = run_cache.small_synthetic(seed=3, clean=30, stego=25, negatives=5)
    for name in ("openvino", "cpu"):
        (tmp_path / name).mkdir()
    metrics, predictions = evaluate(dataset, tmp_path / "openvino", OPENVINO)
    _, on_cpu = evaluate(dataset, tmp_path / "cpu", "CPUExecutionProvider")
    assert metrics["provenance"]["execution_provider"] == "OpenVINOExecutionProvider (device_type=CPU)"
    assert metrics["provenance"]["onnxruntime_version"] == "1.24.1"
    assert metrics["execution"]["batch"] >= 1
    assert metrics["latency"]["images"] == 10
    for ours, theirs in zip(predictions, on_cpu, strict=True):
        assert (ours["path"], ours["verdict"]) == (theirs["path"], theirs["verdict"])
        assert float(ours["probability"]) == pytest.approx(float(theirs["probability"]), abs=1e-4)


def test_device_that_openvino_does_not_have_is_an_error(run_cache: RunCache) -> None:
    # ONNX Runtime logs it, and runs the model on the CPU.
    dataset = run_cache.small_synthetic(seed=3, clean=30, stego=25, negatives=5)
    provider = "OpenVINOExecutionProvider:device_type=GPU"
    done = starlight("evaluate", "--model", MODEL, "--dataset", dataset, "--provider", provider)
    assert done.returncode == 2
    assert done.stdout == ""
    assert (
        f"{MODEL}: requested OpenVINOExecutionProvider, CPUExecutionProvider, but ONNX Runtime uses"
        " CPUExecutionProvider\n"
    ) in done.stderr


def test_option_that_openvino_does_not_have_is_an_error() -> None:
    done = starlight("score", MODEL.parent, "--model", MODEL, "--provider", f"{OPENVINO},nonsense=1")
    assert done.returncode == 2
    # ONNX Runtime would print the error there, and run the model on the CPU.
    assert done.stdout == ""
    assert f"{MODEL}: cannot be loaded with OpenVINOExecutionProvider (device_type=CPU, nonsense=1): " in done.stderr

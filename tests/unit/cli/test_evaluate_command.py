"""`monitor_performance.py`: exit codes, one-line errors, and the same metrics as `evaluate`."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from starlight_exporter.detector.decision import PLAIN, PRODUCTION
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.run import evaluate
from starlight_exporter.evaluation.serialisation import from_json
from support.scripts import run_script

pytestmark = pytest.mark.slow

monitor = partial(run_script, "monitor_performance.py")


def test_writes_metrics_predictions_and_tables(
    tmp_path: Path, model_path: Path, dataset_root: Path, request_for: Callable[..., RunRequest]
) -> None:
    output, table = tmp_path / "metrics.json", tmp_path / "predictions.csv"
    done = monitor(
        *("--model", model_path, "--dataset", dataset_root, "--decision", "plain", "--latency-sample", 20),
        *("--output", output, "--predictions", table, "--threads", 2),
    )
    assert done.returncode == 0, done.stderr
    here = from_json(output.read_text())
    there = evaluate(request_for(decision=PLAIN)).evaluation
    for field in ("clean", "clean_by_format", "negatives", "stego", "detections", "confusion", "roc_auc", "log_loss"):
        assert getattr(here, field) == getattr(there, field)
    assert here.provenance.dataset_fingerprint == there.provenance.dataset_fingerprint
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert here.clean.count == sum(row["label"] == "clean" and row["verdict"] == "stego" for row in rows)
    assert f"{here.clean.count} of {here.clean.total}" in done.stdout
    assert "Failed checks" in done.stdout


@pytest.mark.parametrize("case", [({"lsb": 0.0}, 0), ({"lsb": 100.0, "eoi": 100.0}, 1)])
def test_exits_with_1_on_a_regression_against_the_baseline(
    tmp_path: Path,
    model_path: Path,
    dataset_root: Path,
    request_for: Callable[..., RunRequest],
    case: tuple[dict[str, float], int],
) -> None:
    baseline_rates, code = case
    baseline = tmp_path / "baseline.json"
    measured = evaluate(request_for(decision=PRODUCTION, latency_sample=0)).evaluation.provenance
    provenance = {"dataset_fingerprint": measured.dataset_fingerprint, "decision": measured.decision}
    baseline.write_text(json.dumps({"detection_rates": baseline_rates, "provenance": provenance}))
    done = monitor("--model", model_path, "--dataset", dataset_root, "--baseline", baseline, "--latency-sample", 0)
    assert done.returncode == code, done.stderr
    assert ("regression: detection_baseline lsb" in done.stdout) is (code == 1)


def test_exits_with_2_if_the_baseline_is_not_comparable(tmp_path: Path, model_path: Path, dataset_root: Path) -> None:
    """A file that does not state its images could be of any."""
    baseline = tmp_path / "baseline.json"
    baseline.write_text(json.dumps({"detection_rates": {"lsb": 0.0}}))
    done = monitor("--model", model_path, "--dataset", dataset_root, "--baseline", baseline, "--latency-sample", 0)
    assert done.returncode == 2
    expected = f"monitor_performance: {baseline}: not comparable: the recorded baseline has no dataset fingerprint"
    assert expected in done.stderr


def test_reports_usage_errors_in_one_line_and_exits_with_2(
    tmp_path: Path, model_path: Path, dataset_root: Path
) -> None:
    (tmp_path / "baseline.json").write_text('{"fpr": "low"}')
    good = ("--model", model_path, "--dataset", dataset_root, "--latency-sample", 0)
    for arguments, message in (
        (("--model", tmp_path / "gone.onnx", "--dataset", dataset_root), "gone.onnx: no such model file"),
        (("--model", model_path, "--dataset", tmp_path / "gone"), "gone: no such dataset folder"),
        ((*good, "--baseline", tmp_path / "baseline.json"), "fpr: expected a number"),
        ((*good, "--decision", "1.5"), "expected production, plain or a threshold from 0 to 1, got 1.5"),
        ((*good, "--decision", "often"), "got often"),
        ((*good, "--threads", "0"), "expected an integer of at least 1, got 0"),
        ((*good, "--output", tmp_path), "cannot be written"),
    ):
        done = monitor(*arguments)
        assert done.returncode == 2, arguments
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def test_exits_with_2_if_no_image_could_be_measured(tmp_path: Path, model_path: Path) -> None:
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / "a.png").write_text("no image")
    done = monitor("--model", model_path, "--dataset", tmp_path)
    assert done.returncode == 2
    assert "no image could be measured" in done.stderr
    assert "not measured" in done.stdout


def test_writes_the_dashboard_of_this_evaluation(tmp_path: Path, model_path: Path, dataset_root: Path) -> None:
    command = [sys.executable, "-m", "starlight_exporter.cli.main", "evaluate", "--update-dashboard"]
    flags = ["--model", str(model_path), "--dataset", str(dataset_root), "--latency-sample", "0"]
    done = subprocess.run([*command, *flags], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "docs" / "grok" / "performance_dashboard.md").read_text()
    assert "| False positive rate, clean images |" in page
    assert "| p95 | not measured |" in page
    assert "Not measured: written without Prometheus." in page

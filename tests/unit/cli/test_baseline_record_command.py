"""`record_baseline.py` and the shipped baseline."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from starlight_exporter.checks.baseline import baseline_json, read_baseline
from starlight_exporter.checks.checks import run_checks
from starlight_exporter.detector.contract import FORMATS, METHODS
from support.snapshots import full_evaluation

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "scripts" / "record_baseline.py"


def test_baseline_file_round_trips(tmp_path: Path) -> None:
    measured = full_evaluation()
    file = tmp_path / "baseline.json"
    file.write_text(baseline_json(measured, command="c", machine="m"))
    baseline = read_baseline(file)
    assert measured.clean.ratio is not None
    assert baseline.false_positive_ratio == pytest.approx(measured.clean.ratio, abs=1e-8)
    for method, rate in measured.detections.items():
        if rate.ratio is None:
            assert method not in baseline.detection_ratios
        else:
            assert baseline.detection_ratios[method] == pytest.approx(rate.ratio, abs=1e-8)
    content = json.loads(file.read_text())
    assert content["provenance"]["model_sha256"] == measured.provenance.model_sha256
    assert content["counts"]["clean"] == {"count": measured.clean.count, "total": measured.clean.total}


def test_model_does_not_regress_against_its_own_baseline(tmp_path: Path) -> None:
    measured = full_evaluation()
    file = tmp_path / "baseline.json"
    file.write_text(baseline_json(measured, command="c", machine="m"))
    against = [
        c for c in run_checks(measured, read_baseline(file)) if c.name in ("detection_baseline", "latency_baseline")
    ]
    assert against
    assert all(c.passed is not False for c in against)


@pytest.mark.slow
def test_writes_a_baseline_with_provenance(tmp_path: Path, model_path: Path, dataset_root: Path) -> None:
    output = tmp_path / "baseline.json"
    done = subprocess.run(
        [sys.executable, SCRIPT, "--model", model_path, "--dataset", dataset_root, "--output", output],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert read_baseline(output).detection_ratios.keys() == {"alpha", "palette", "lsb", "exif", "eoi"}
    provenance = json.loads(output.read_text())["provenance"]
    assert provenance["command"].startswith(f"scripts/record_baseline.py --model {model_path}")
    assert f"Python {platform.python_version()}" in provenance["machine"]


def test_shipped_baseline_is_complete_and_has_provenance() -> None:
    file = ROOT / "tests" / "regression_baselines.json"
    baseline, provenance = read_baseline(file), json.loads(file.read_text())["provenance"]
    assert baseline.false_positive_ratio is not None
    assert baseline.detection_ratios.keys() == set(METHODS)
    assert baseline.latency_seconds.keys() == {0.5, 0.95, 0.99}
    assert baseline.throughput is not None
    assert baseline.false_positive_ratio_by_format.keys() == set(FORMATS)
    assert (provenance["model"], provenance["dataset"]) == ("v4", "reference")
    assert provenance["command"]
    assert provenance["machine"]


@pytest.mark.slow
def test_rejects_a_dataset_without_a_method(tmp_path: Path, model_path: Path) -> None:
    from support.images import write_dataset

    root = write_dataset(tmp_path / "images", stego=0)
    output = tmp_path / "baseline.json"
    done = subprocess.run(
        [sys.executable, SCRIPT, "--model", model_path, "--dataset", root, "--output", output],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "lacks" in done.stderr
    assert not output.exists()

"""The regression suite: outcomes, exit codes and reports of the gate."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from starlight_exporter.checks.baseline_recording import baseline_json
from starlight_exporter.checks.checks import CheckResult
from starlight_exporter.checks.limits import CHECK_NAMES
from starlight_exporter.checks.suite import SUITE, exit_code, run_suite
from starlight_exporter.cli import gate as gate_command
from starlight_exporter.cli.command import script_parser
from starlight_exporter.cli.measuring import measure
from starlight_exporter.errors import ModelError, NotMeasuredReason
from starlight_exporter.publish.regression_report import junit_xml
from support.images import write_dataset
from support.models import write_constant_model
from support.run_cache import RunCache
from support.snapshots import MACHINE, full_evaluation

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "scripts" / "regression_tests.py"

COMPLETE = replace(full_evaluation(), not_measured=dict.fromkeys(full_evaluation().not_measured, 0))
"""Every image measured."""

PASSED = tuple(CheckResult(name, "x", 0.0, 1.0, True, False, "fine") for name in CHECK_NAMES)


def with_outcome(name: str, passed: bool | None) -> tuple[CheckResult, ...]:
    return tuple(replace(check, passed=passed) if check.name == name else check for check in PASSED)


def test_exit_code_is_0_if_all_tests_pass() -> None:
    assert exit_code(COMPLETE, run_suite(PASSED)) == 0


@pytest.mark.parametrize("check", SUITE.values())
def test_exit_code_is_1_if_a_test_fails(check: str) -> None:
    assert exit_code(COMPLETE, run_suite(with_outcome(check, passed=False))) == 1


@pytest.mark.parametrize("check", SUITE.values())
def test_exit_code_is_2_if_a_check_was_not_measured(check: str) -> None:
    assert exit_code(COMPLETE, run_suite(with_outcome(check, passed=None))) == 2


@pytest.mark.parametrize("check", SUITE.values())
def test_exit_code_is_2_if_a_test_has_no_slice(check: str) -> None:
    assert exit_code(COMPLETE, run_suite([one for one in PASSED if one.name != check])) == 2


@pytest.mark.parametrize("check", sorted(set(CHECK_NAMES) - set(SUITE.values())))
def test_checks_outside_the_suite_do_not_change_the_exit_code(check: str) -> None:
    assert exit_code(COMPLETE, run_suite(with_outcome(check, passed=False))) == 0


def test_regression_takes_precedence_over_not_measured() -> None:
    checks = tuple(replace(c, passed={"negatives": None, "latency_limit": False}.get(c.name, True)) for c in PASSED)
    assert exit_code(COMPLETE, run_suite(checks)) == 1


@pytest.mark.parametrize("reason", sorted(COMPLETE.not_measured))
def test_exit_code_is_2_if_an_image_was_not_measured(reason: NotMeasuredReason) -> None:
    evaluation = replace(COMPLETE, not_measured={**COMPLETE.not_measured, reason: 1})
    tests = run_suite(PASSED)
    assert exit_code(evaluation, tests) == 2
    (error,) = ET.fromstring(junit_xml(evaluation, tests)).findall("./testsuite[@name='images']/testcase/error")
    assert error.get("message") == f"1 of {COMPLETE.images} images were not measured: 1 {reason.replace('_', ' ')}"
    assert ET.fromstring(junit_xml(COMPLETE, tests)).find(".//error") is None
    assert exit_code(evaluation, run_suite(with_outcome("negatives", passed=False))) == 1


def test_junit_separates_failures_from_errors() -> None:
    checks = tuple(replace(c, passed={"negatives": None, "latency_limit": False}.get(c.name, True)) for c in PASSED)
    root = ET.fromstring(junit_xml(full_evaluation(), run_suite(checks)))
    found = {suite.get("name"): (suite.get("failures"), suite.get("errors")) for suite in root}
    assert found["inference_speed"] == ("1", "0")
    assert found["negatives_resistance"] == ("0", "1")
    assert found["fpr_stability"] == ("0", "0")


def gate(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True, check=False)


def arguments(tmp_path: Path, model: Path, images: Path, *more: str | Path) -> Sequence[str | Path]:
    baseline = tmp_path / "baseline.json"
    baseline.write_text(baseline_json(full_evaluation(), None, command="c", machine=MACHINE))
    return ("--model", model, "--dataset", images, "--baseline", baseline, "--report-dir", tmp_path / "reports", *more)


@pytest.mark.slow
def test_gate_fails_model_without_detections(tmp_path: Path, dataset_root: Path) -> None:
    model = write_constant_model(tmp_path / "blind.onnx", logit=-4.0)
    done = gate(*arguments(tmp_path, model, dataset_root, "--junit", tmp_path / "junit.xml"))
    assert done.returncode == 1, done.stderr
    (report,) = (tmp_path / "reports").glob("regression_*Z.json")
    content = json.loads(report.read_text())
    outcomes = {test["name"]: test["outcome"] for test in content["tests"]}
    assert outcomes["detection_rates"] == "failed"
    assert outcomes["negatives_resistance"] == "passed"
    assert content["exit_code"] == 1
    assert ET.parse(tmp_path / "junit.xml").getroot().find(".//failure") is not None


@pytest.mark.slow
def test_shipped_model_passes_on_unseen_images(tmp_path: Path, run_cache: RunCache) -> None:
    images = run_cache.small_synthetic(seed=31, clean=150, stego=150, negatives=25)
    model = ROOT / "models" / "production" / "model.onnx"
    done = gate("--model", model, "--dataset", images, "--report-dir", tmp_path / "reports")
    (report,) = (tmp_path / "reports").glob("*.json")
    outcomes = {test["name"]: test["outcome"] for test in json.loads(report.read_text())["tests"]}
    # The latency depends on the load of the machine; the exit code must agree with it.
    assert done.returncode == (0 if outcomes.pop("inference_speed") == "passed" else 1), done.stderr
    assert set(outcomes.values()) == {"passed"}


@pytest.mark.slow
def test_latency_is_not_measured_without_timings(tmp_path: Path, dataset_root: Path) -> None:
    model = write_constant_model(tmp_path / "blind.onnx", logit=-4.0)
    gate(*arguments(tmp_path, model, dataset_root, "--latency-sample", "0"))
    (report,) = (tmp_path / "reports").glob("*.json")
    outcomes = {test["name"]: test["outcome"] for test in json.loads(report.read_text())["tests"]}
    assert outcomes["inference_speed"] == "not measured"


def negatives_tested(tmp_path: Path) -> dict[str, str]:
    """Return category → counts of the only report."""
    (report,) = (tmp_path / "reports").glob("*.json")
    tests = {test["name"]: test for test in json.loads(report.read_text())["tests"]}
    return {check["slice"]: check["detail"].partition(";")[0] for check in tests["negatives_resistance"]["checks"]}


@pytest.mark.slow
def test_adds_negatives_of_another_folder(tmp_path: Path) -> None:
    model = write_constant_model(tmp_path / "paranoid.onnx", logit=4.0)
    images = write_dataset(tmp_path / "images", negatives=10)
    own = write_dataset(tmp_path / "own", clean=0, stego=0, negatives=6, seed=1) / "negatives"
    (own / "patterns").rename(own / "scans")
    done = gate(*arguments(tmp_path, model, images, "--negatives", own))
    assert done.returncode == 1
    assert negatives_tested(tmp_path) == {
        "patterns": "100.00% (5 of 5)",
        "rgb_no_alpha": "100.00% (8 of 8)",
        "scans": "100.00% (3 of 3)",
    }


@pytest.mark.slow
def test_counts_negatives_in_both_folders_once(tmp_path: Path) -> None:
    model = write_constant_model(tmp_path / "paranoid.onnx", logit=4.0)
    images = write_dataset(tmp_path / "images", negatives=6)
    gate(*arguments(tmp_path, model, images, "--negatives", images / "negatives"))
    assert negatives_tested(tmp_path) == {"patterns": "100.00% (3 of 3)", "rgb_no_alpha": "100.00% (3 of 3)"}


def test_rejects_model_changed_between_the_folders_of_negatives(tmp_path: Path) -> None:
    model = write_constant_model(tmp_path / "model.onnx", logit=4.0)
    images = write_dataset(tmp_path / "images")
    words = map(str, arguments(tmp_path, model, images, "--negatives", images / "clean"))
    options = script_parser(gate_command, "regression_tests.py", tmp_path).parse_args([*words])
    first = measure(options)
    write_constant_model(model, logit=-4.0)
    with pytest.raises(ModelError, match=r"model\.onnx: expected content"):
        gate_command.with_negatives(options, first)


@pytest.mark.slow
def test_counts_damaged_image_of_another_folder_of_negatives(tmp_path: Path) -> None:
    model = write_constant_model(tmp_path / "blind.onnx", logit=-4.0)
    images = write_dataset(tmp_path / "images", negatives=0)
    own = write_dataset(tmp_path / "own", clean=0, stego=0, negatives=6) / "negatives"
    next(file for file in sorted(own.rglob("*.png"))).write_bytes(b"no image")
    done = gate(*arguments(tmp_path, model, images, "--negatives", own))
    (report,) = (tmp_path / "reports").glob("*.json")
    assert json.loads(report.read_text())["not_measured"]["unreadable"] == 1
    assert "images were not measured: 1 unreadable" in " ".join(re.sub(r"[│┃]", " ", done.stdout).split())


@pytest.mark.parametrize("missing", ["--model", "--dataset", "--baseline", "--negatives"])
@pytest.mark.slow
def test_missing_path_is_one_line_and_exit_code_2(tmp_path: Path, dataset_root: Path, missing: str) -> None:
    model = write_constant_model(tmp_path / "blind.onnx", logit=-4.0)
    done = gate(*arguments(tmp_path, model, dataset_root), missing, tmp_path / "nowhere")
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr

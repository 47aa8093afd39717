"""The gate: what it tests, when it says no, and that nothing that was not measured ever passes."""

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

from scripts import regression_tests
from starlight_exporter.checks.baseline import baseline_json
from starlight_exporter.checks.regression import CHECK_NAMES, Check
from starlight_exporter.checks.suite import SUITE, exit_code, junit_xml, run_suite
from starlight_exporter.cli.arguments import measure
from starlight_exporter.errors import ModelError, NotMeasuredReason
from support.images import write_dataset
from support.models import write_constant_model
from support.small_images import synthesise_small_images
from support.snapshots import full_evaluation

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "scripts" / "regression_tests.py"

WHOLE = replace(full_evaluation(), not_measured=dict.fromkeys(full_evaluation().not_measured, 0))
"""Every image measured."""

PASSED = tuple(Check(name, "x", 0.0, 1.0, True, False, "fine") for name in CHECK_NAMES)


def with_outcome(name: str, passed: bool | None) -> tuple[Check, ...]:
    return tuple(replace(check, passed=passed) if check.name == name else check for check in PASSED)


def test_all_passed_is_zero() -> None:
    assert exit_code(WHOLE, run_suite(PASSED)) == 0


@pytest.mark.parametrize("check", SUITE.values())
def test_each_test_of_the_suite_can_say_no(check: str) -> None:
    assert exit_code(WHOLE, run_suite(with_outcome(check, passed=False))) == 1


@pytest.mark.parametrize("check", SUITE.values())
def test_what_was_not_measured_is_no_pass(check: str) -> None:
    assert exit_code(WHOLE, run_suite(with_outcome(check, passed=None))) == 2


@pytest.mark.parametrize("check", SUITE.values())
def test_a_test_without_any_slice_is_no_pass(check: str) -> None:
    assert exit_code(WHOLE, run_suite([one for one in PASSED if one.name != check])) == 2


@pytest.mark.parametrize("check", sorted(set(CHECK_NAMES) - set(SUITE.values())))
def test_checks_outside_the_suite_do_not_decide(check: str) -> None:
    assert exit_code(WHOLE, run_suite(with_outcome(check, passed=False))) == 0


def test_a_regression_outweighs_what_was_not_measured() -> None:
    checks = tuple(replace(c, passed={"negatives": None, "latency_limit": False}.get(c.name, True)) for c in PASSED)
    assert exit_code(WHOLE, run_suite(checks)) == 1


@pytest.mark.parametrize("reason", sorted(WHOLE.not_measured))
def test_an_image_without_a_verdict_is_no_pass(reason: NotMeasuredReason) -> None:
    evaluation = replace(WHOLE, not_measured={**WHOLE.not_measured, reason: 1})
    tests = run_suite(PASSED)
    assert exit_code(evaluation, tests) == 2
    (error,) = ET.fromstring(junit_xml(evaluation, tests)).findall("./testsuite[@name='images']/testcase/error")
    assert error.get("message") == f"1 of {WHOLE.images} images were not measured: 1 {reason.replace('_', ' ')}"
    assert ET.fromstring(junit_xml(WHOLE, tests)).find(".//error") is None
    assert exit_code(evaluation, run_suite(with_outcome("negatives", passed=False))) == 1


def test_junit_tells_failures_from_errors() -> None:
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
    baseline.write_text(baseline_json(full_evaluation(), command="c", machine="m"))
    return ("--model", model, "--dataset", images, "--baseline", baseline, "--report-dir", tmp_path / "reports", *more)


def test_a_model_that_finds_nothing_is_stopped_with_report_and_junit(tmp_path: Path, dataset_root: Path) -> None:
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
def test_the_shipped_model_passes_on_pictures_it_never_saw(tmp_path: Path) -> None:
    images = synthesise_small_images(tmp_path, seed=31, clean=150, stego=150, negatives=25)
    model = ROOT / "models" / "production" / "model.onnx"
    done = gate("--model", model, "--dataset", images, "--report-dir", tmp_path / "reports")
    (report,) = (tmp_path / "reports").glob("*.json")
    outcomes = {test["name"]: test["outcome"] for test in json.loads(report.read_text())["tests"]}
    # How fast a machine is that runs other tests beside it is nothing to assert; that the exit code tells it is.
    assert done.returncode == (0 if outcomes.pop("inference_speed") == "passed" else 1), done.stderr
    assert set(outcomes.values()) == {"passed"}


def test_too_few_timings_are_no_pass(tmp_path: Path, dataset_root: Path) -> None:
    model = write_constant_model(tmp_path / "blind.onnx", logit=-4.0)
    gate(*arguments(tmp_path, model, dataset_root, "--latency-sample", "0"))
    (report,) = (tmp_path / "reports").glob("*.json")
    outcomes = {test["name"]: test["outcome"] for test in json.loads(report.read_text())["tests"]}
    assert outcomes["inference_speed"] == "not measured"


def negatives_tested(tmp_path: Path) -> dict[str, str]:
    """Category → what the only report says of it."""
    (report,) = (tmp_path / "reports").glob("*.json")
    tests = {test["name"]: test for test in json.loads(report.read_text())["tests"]}
    return {check["slice"]: check["detail"].partition(";")[0] for check in tests["negatives_resistance"]["checks"]}


def test_negatives_of_another_folder_are_tested_besides_the_datasets(tmp_path: Path) -> None:
    model = write_constant_model(tmp_path / "paranoid.onnx", logit=4.0)
    images = write_dataset(tmp_path / "images", negatives=10)
    own = write_dataset(tmp_path / "own", clean=0, stego=0, negatives=6, seed=1) / "negatives"
    (own / "patterns").rename(own / "scans")
    done = gate(*arguments(tmp_path, model, images, "--negatives", own))
    assert done.returncode == 1
    assert negatives_tested(tmp_path) == {"patterns": "5 of 5", "rgb_no_alpha": "8 of 8", "scans": "3 of 3"}


def test_an_image_of_both_folders_of_negatives_counts_once(tmp_path: Path) -> None:
    model = write_constant_model(tmp_path / "paranoid.onnx", logit=4.0)
    images = write_dataset(tmp_path / "images", negatives=6)
    gate(*arguments(tmp_path, model, images, "--negatives", images / "negatives"))
    assert negatives_tested(tmp_path) == {"patterns": "3 of 3", "rgb_no_alpha": "3 of 3"}


def test_both_folders_of_negatives_are_measured_with_the_same_model(tmp_path: Path) -> None:
    model = write_constant_model(tmp_path / "model.onnx", logit=4.0)
    images = write_dataset(tmp_path / "images")
    options = regression_tests.parse([*map(str, arguments(tmp_path, model, images, "--negatives", images / "clean"))])
    first = measure(options)
    write_constant_model(model, logit=-4.0)
    with pytest.raises(ModelError, match=r"model\.onnx: expected content"):
        regression_tests.with_negatives(options, first)


def test_a_damaged_image_of_another_folder_of_negatives_counts_too(tmp_path: Path) -> None:
    model = write_constant_model(tmp_path / "blind.onnx", logit=-4.0)
    images = write_dataset(tmp_path / "images", negatives=0)
    own = write_dataset(tmp_path / "own", clean=0, stego=0, negatives=6) / "negatives"
    next(file for file in sorted(own.rglob("*.png"))).write_bytes(b"no image")
    done = gate(*arguments(tmp_path, model, images, "--negatives", own))
    (report,) = (tmp_path / "reports").glob("*.json")
    assert json.loads(report.read_text())["not_measured"]["unreadable"] == 1
    assert "images were not measured: 1 unreadable" in " ".join(re.sub(r"[│┃]", " ", done.stdout).split())


@pytest.mark.parametrize("missing", ["--model", "--dataset", "--baseline", "--negatives"])
def test_what_is_missing_is_one_line_and_code_2(tmp_path: Path, dataset_root: Path, missing: str) -> None:
    model = write_constant_model(tmp_path / "blind.onnx", logit=-4.0)
    done = gate(*arguments(tmp_path, model, dataset_root), missing, tmp_path / "nowhere")
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr

"""The gate command: exit codes and reports on real models and images."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from starlight_exporter.checks.baseline_recording import baseline_json
from starlight_exporter.checks.limits import CHECK_NAMES
from starlight_exporter.cli import gate as gate_command
from starlight_exporter.cli import main as starlight
from starlight_exporter.cli.command import script_parser
from starlight_exporter.cli.gate_evaluation import with_negatives
from starlight_exporter.cli.gate_settings import gate_settings
from starlight_exporter.cli.measuring import measure
from starlight_exporter.detector.decision import PRODUCTION, DecisionRule
from starlight_exporter.errors import ModelError
from starlight_exporter.evaluation.request import BaselineModel
from support.images import write_dataset
from support.models import write_constant_model
from support.run_cache import RunCache
from support.scripts import run_script
from support.snapshots import MACHINE, full_evaluation

ROOT = Path(__file__).resolve().parents[3]


gate = partial(run_script, "regression_tests.py")


def arguments(tmp_path: Path, model: Path, images: Path, *more: str | Path) -> Sequence[str | Path]:
    """Return the arguments of a gate whose baseline is a model that calls every image clean."""
    baseline = write_constant_model(tmp_path / "baseline.onnx", logit=-4.0)
    folder = tmp_path / "reports"
    sample = () if "--latency-sample" in more else ("--latency-sample", "20")
    return ("--model", model, "--dataset", images, "--baseline", baseline, "--report-dir", folder, *sample, *more)


def report_of(tmp_path: Path) -> dict[str, Any]:
    """Return the only report."""
    (report,) = (tmp_path / "reports").glob("regression_*Z.json")
    content: dict[str, Any] = json.loads(report.read_text())
    return content


def outcomes_of(tmp_path: Path) -> dict[str, str]:
    """Return test → outcome of the only report."""
    return {test["name"]: test["outcome"] for test in report_of(tmp_path)["tests"]}


def checks_of(tmp_path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """Return (check, slice) → result of the only report."""
    return {(one["name"], one["slice"]): one for test in report_of(tmp_path)["tests"] for one in test["checks"]}


@pytest.mark.slow
def test_gate_fails_model_without_detections(tmp_path: Path, dataset_root: Path) -> None:
    model = write_constant_model(tmp_path / "blind.onnx", logit=-4.0)
    done = gate(*arguments(tmp_path, model, dataset_root, "--junit", tmp_path / "junit.xml"))
    assert done.returncode == 1, done.stderr
    content, outcomes = report_of(tmp_path), outcomes_of(tmp_path)
    assert outcomes["detection_rates"] == "failed"
    assert outcomes["negatives_resistance"] == "passed"
    assert content["exit_code"] == 1
    assert ET.parse(tmp_path / "junit.xml").getroot().find(".//failure") is not None


@pytest.mark.slow
def test_shipped_model_passes_on_unseen_images(tmp_path: Path, run_cache: RunCache) -> None:
    images = run_cache.small_synthetic(seed=31, clean=150, stego=150, negatives=25)
    model = ROOT / "models" / "production" / "model.onnx"
    # The absolute latency depends on the machine, that of the baseline model is measured in the same run.
    done = gate("--model", model, "--dataset", images, "--report-dir", tmp_path / "reports", "--skip", "latency_limit")
    outcomes = outcomes_of(tmp_path)
    assert done.returncode == (0 if outcomes.pop("inference_speed") == "passed" else 1), done.stderr
    assert set(outcomes.values()) == {"passed"}
    checks = checks_of(tmp_path)
    assert checks["fpr_baseline", ""]["conclusion"] == "pass"
    assert checks["detection_baseline", "lsb"]["conclusion"] == "pass"
    assert checks["latency_baseline", "p95"]["conclusion"] != "fail (significant)"


@pytest.mark.slow
def test_latency_is_not_measured_without_timings(tmp_path: Path, dataset_root: Path) -> None:
    model = write_constant_model(tmp_path / "blind.onnx", logit=-4.0)
    gate(*arguments(tmp_path, model, dataset_root, "--latency-sample", "0"))
    assert outcomes_of(tmp_path)["inference_speed"] == "not measured"


def negatives_tested(tmp_path: Path) -> dict[str, str]:
    """Return category → counts of the only report."""
    found = {slice_: check["detail"] for (name, slice_), check in checks_of(tmp_path).items() if name == "negatives"}
    return {category: str(detail).partition(";")[0].partition("(")[2] for category, detail in found.items()}


@pytest.mark.slow
def test_adds_negatives_of_another_folder(tmp_path: Path) -> None:
    model = write_constant_model(tmp_path / "paranoid.onnx", logit=4.0)
    images = write_dataset(tmp_path / "images", negatives=10)
    own = write_dataset(tmp_path / "own", clean=0, stego=0, negatives=6, seed=1) / "negatives"
    (own / "patterns").rename(own / "scans")
    done = gate(*arguments(tmp_path, model, images, "--negatives", own))
    assert done.returncode == 1
    assert negatives_tested(tmp_path) == {
        "patterns": "5 of 5",
        "rgb_no_alpha": "8 of 8",
        "scans": "3 of 3",
    }


@pytest.mark.slow
def test_counts_negatives_in_both_folders_once(tmp_path: Path) -> None:
    model = write_constant_model(tmp_path / "paranoid.onnx", logit=4.0)
    images = write_dataset(tmp_path / "images", negatives=6)
    gate(*arguments(tmp_path, model, images, "--negatives", images / "negatives"))
    assert negatives_tested(tmp_path) == {"patterns": "3 of 3", "rgb_no_alpha": "3 of 3"}


def test_rejects_model_changed_between_the_folders_of_negatives(tmp_path: Path) -> None:
    model = write_constant_model(tmp_path / "model.onnx", logit=4.0)
    images = write_dataset(tmp_path / "images")
    words = map(str, arguments(tmp_path, model, images, "--negatives", images / "clean", "--decision", "plain"))
    options = script_parser(gate_command, "regression_tests.py", tmp_path).parse_args([*words])
    first = measure(options)
    write_constant_model(model, logit=-4.0)
    with pytest.raises(ModelError, match=r"model\.onnx: expected content"):
        with_negatives(options, first)


@pytest.mark.slow
def test_counts_damaged_image_of_another_folder_of_negatives(tmp_path: Path) -> None:
    model = write_constant_model(tmp_path / "blind.onnx", logit=-4.0)
    images = write_dataset(tmp_path / "images", negatives=0)
    own = write_dataset(tmp_path / "own", clean=0, stego=0, negatives=6) / "negatives"
    next(file for file in sorted(own.rglob("*.png"))).write_bytes(b"no image")
    done = gate(*arguments(tmp_path, model, images, "--negatives", own))
    assert report_of(tmp_path)["not_measured"]["unreadable"] == 1
    assert "images: not measured: 1 of" in done.stdout


@pytest.mark.parametrize("missing", ["--model", "--dataset", "--baseline", "--negatives"])
@pytest.mark.slow
def test_missing_path_is_one_line_and_exit_code_2(tmp_path: Path, dataset_root: Path, missing: str) -> None:
    model = write_constant_model(tmp_path / "blind.onnx", logit=-4.0)
    done = gate(*arguments(tmp_path, model, dataset_root), missing, tmp_path / "nowhere")
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_model_worse_than_the_baseline_model_fails_significantly(tmp_path: Path, dataset_root: Path) -> None:
    """The baseline calls every image clean; this model calls every image stego."""
    model = write_constant_model(tmp_path / "paranoid.onnx", logit=4.0)
    assert gate(*arguments(tmp_path, model, dataset_root)).returncode == 1
    found = checks_of(tmp_path)["fpr_baseline", ""]
    assert (found["conclusion"], found["severity"]) == ("fail (significant)", "critical")
    assert "worse than the baseline (p < 0.001)" in found["detail"]
    assert report_of(tmp_path)["baseline"] == str(tmp_path / "baseline.onnx")


def write_configuration(tmp_path: Path, **checks: object) -> Path:
    """Write the configuration of an exporter whose models call every image clean at the plain threshold."""
    write_constant_model(tmp_path / "baseline.onnx", logit=-4.0)
    settings = {
        "models": [
            {"name": "production", "file": "production.onnx", "role": "production", "decision": {"threshold": 0.01}},
            {"name": "baseline", "file": "baseline.onnx", "role": "baseline", "decision": {"threshold": 0.99}},
        ],
        "datasets": [{"name": "reference", "path": "nowhere"}],
        "checks": checks,
    }
    file = tmp_path / "starlight.yml"
    file.write_text(json.dumps(settings))
    return file


@pytest.mark.slow
def test_config_gives_decision_rule_baseline_and_limits_of_production(tmp_path: Path, dataset_root: Path) -> None:
    # The logit -4 is a probability of 0.018: stego at 0.01, clean at the default thresholds.
    model = write_constant_model(tmp_path / "model.onnx", logit=-4.0)
    config = write_configuration(tmp_path, negatives=0.5, disabled=["detection_baseline"])
    common = ("--model", model, "--dataset", dataset_root, "--report-dir", tmp_path / "reports")
    gate(*common, "--config", config, "--latency-sample", "20")
    report, checks = report_of(tmp_path), checks_of(tmp_path)
    assert report["provenance"]["decision"] == "probability > 0.01"
    assert report["baseline"] == str(tmp_path / "baseline.onnx")
    assert checks["fpr_baseline", ""]["conclusion"] == "fail (significant)"
    assert {found["limit"] for (name, _), found in checks.items() if name == "negatives"} == {0.5}
    assert "detection_baseline" not in {name for name, _ in checks}


@pytest.mark.slow
def test_config_gives_limits_of_images(tmp_path: Path, dataset_root: Path) -> None:
    model = write_constant_model(tmp_path / "model.onnx", logit=-4.0)
    config = write_configuration(tmp_path)
    config.write_text(json.dumps(json.loads(config.read_text()) | {"limits": {"max_image_pixels": 1}}))
    common = ("--model", model, "--dataset", dataset_root, "--report-dir", tmp_path / "reports")
    done = gate(*common, "--config", config, "--latency-sample", "0", "--skip", "latency_limit", "--quiet")
    assert done.returncode == 2
    assert done.stdout.startswith("NOT MEASURED 20 of 20: fpr_baseline: no image of this slice was measured; ")


def test_flags_take_precedence_over_the_configuration(tmp_path: Path, dataset_root: Path) -> None:
    config = write_configuration(tmp_path)
    parser = script_parser(gate_command, "regression_tests.py", tmp_path)
    words = ["--model", "m.onnx", "--dataset", str(dataset_root), "--config", str(config)]
    found = gate_settings(parser.parse_args([*words, "--decision", "0.2", "--baseline-decision", "0.3"]))
    assert found.decision == DecisionRule.single(0.2)
    assert found.baseline_model == BaselineModel(tmp_path / "baseline.onnx", DecisionRule.single(0.3))
    without = gate_settings(parser.parse_args([*words[:4], "--baseline", "b.onnx"]))
    assert without.decision == PRODUCTION


def test_config_without_one_production_model_is_a_usage_error(tmp_path: Path, dataset_root: Path) -> None:
    config = write_configuration(tmp_path)
    config.write_text(config.read_text().replace('"role": "production"', '"role": "research"'))
    model = write_constant_model(tmp_path / "model.onnx", logit=-4.0)
    done = gate("--model", model, "--dataset", dataset_root, "--config", config)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"regression_tests: {config}: models: expected one model with role production, got 0"
    ]


@pytest.mark.slow
def test_recorded_baseline_of_other_images_is_not_comparable(tmp_path: Path, dataset_root: Path) -> None:
    recorded = tmp_path / "baseline.json"
    recorded.write_text(baseline_json(full_evaluation(), None, command="c", machine=MACHINE))
    model = write_constant_model(tmp_path / "blind.onnx", logit=-4.0)
    words = [*arguments(tmp_path, model, dataset_root, "--skip", "detection_floor", "--skip", "latency_limit")]
    words[words.index("--baseline") + 1] = recorded
    done = gate(*words)
    assert done.returncode == 2, done.stderr
    found = checks_of(tmp_path)["fpr_baseline", ""]
    assert (found["conclusion"], found["unavailable"]) == ("not comparable", "different_images")
    assert "other images" in found["detail"]


@pytest.mark.slow
def test_inconclusive_pass_exits_with_3_if_a_conclusion_is_required(tmp_path: Path, dataset_root: Path) -> None:
    model = write_constant_model(tmp_path / "blind.onnx", logit=-4.0)
    skipped = [word for name in ("detection_floor", "latency_baseline", "latency_limit") for word in ("--skip", name)]
    assert gate(*arguments(tmp_path, model, dataset_root, *skipped)).returncode == 0
    (tmp_path / "reports").rename(tmp_path / "first")
    assert gate(*arguments(tmp_path, model, dataset_root, *skipped, "--require-conclusive")).returncode == 3
    assert report_of(tmp_path)["exit_code"] == 3


@pytest.mark.slow
def test_baseline_model_that_does_not_load_is_one_line_and_exit_code_2(tmp_path: Path, dataset_root: Path) -> None:
    model = write_constant_model(tmp_path / "blind.onnx", logit=-4.0)
    words = [*arguments(tmp_path, model, dataset_root)]
    (tmp_path / "baseline.onnx").write_bytes(b"no model")
    done = gate(*words)
    assert done.returncode == 2
    assert "baseline.onnx" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_last_line_is_the_result_and_all_reports_agree(tmp_path: Path, dataset_root: Path) -> None:
    model = write_constant_model(tmp_path / "paranoid.onnx", logit=4.0)
    summary = tmp_path / "summary.md"
    summary.write_text("# Build\n")
    files = ("--junit", tmp_path / "junit.xml", "--html", tmp_path / "report.html", "--markdown", summary)
    done = gate(*arguments(tmp_path, model, dataset_root, *files))
    result = report_of(tmp_path)["result"]
    assert result.startswith("FAILED ")
    assert done.stdout.splitlines()[-1] == result
    assert f'name="result" value="{result}"' in (tmp_path / "junit.xml").read_text()
    assert summary.read_text().startswith("# Build\n## FAILED ")
    page = (tmp_path / "report.html").read_text()
    assert f"<title>{result}</title>" in page
    assert page.count("data:image/png;base64,") == page.count('<img src="') > 0
    assert "no thumbnail" not in page


@pytest.mark.slow
def test_thumbnails_of_a_second_folder_of_negatives(tmp_path: Path) -> None:
    model = write_constant_model(tmp_path / "paranoid.onnx", logit=4.0)
    images = write_dataset(tmp_path / "images", negatives=0)
    own = write_dataset(tmp_path / "own", clean=0, stego=0, negatives=2, seed=1) / "negatives"
    gate(*arguments(tmp_path, model, images, "--negatives", own, "--only", "negatives", "--html", tmp_path / "a.html"))
    page = (tmp_path / "a.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert "no thumbnail" not in page


@pytest.mark.slow
def test_quiet_prints_only_the_result(tmp_path: Path, dataset_root: Path) -> None:
    model = write_constant_model(tmp_path / "paranoid.onnx", logit=4.0)
    done = gate(*arguments(tmp_path, model, dataset_root, "--only", "detection_floor", "--quiet"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "PASSED 5 of 5 (5 inconclusive)\n"


@pytest.mark.slow
def test_json_is_the_only_standard_output(tmp_path: Path, dataset_root: Path) -> None:
    model = write_constant_model(tmp_path / "blind.onnx", logit=-4.0)
    done = gate(*arguments(tmp_path, model, dataset_root, "--only", "negatives", "--json"))
    content = json.loads(done.stdout)
    assert content == report_of(tmp_path)
    assert done.stderr.splitlines()[-1] == content["result"] == "PASSED 2 of 2 (2 inconclusive)"


@pytest.mark.slow
def test_without_required_latency_checks_nothing_is_timed(tmp_path: Path, dataset_root: Path) -> None:
    model = write_constant_model(tmp_path / "blind.onnx", logit=-4.0)
    done = gate(*arguments(tmp_path, model, dataset_root, "--skip", "latency_baseline", "--skip", "latency_limit"))
    images = sum(path.is_file() for path in dataset_root.rglob("*") if path.suffix != ".json")
    assert f"blind on {dataset_root.name}: {images} of {images} (100%)" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--junit", "missing/j.xml"), "--junit: missing/j.xml: cannot be written: no such folder: missing"),
        (("--html", "m.onnx"), "--html: m.onnx: cannot be written: is an input of this command"),
        (("--markdown", "."), "--markdown: .: cannot be written: is a folder"),
        (("--report-dir", "m.onnx/reports"), "m.onnx/reports/report.json: cannot be written: Not a directory"),
        (("--only", "negatives", "--skip", "negatives"), "--only negatives: also in --skip"),
        (("--only", "detection_target"), "--only detection_target: a target, which the gate does not require"),
        (
            [word for name in CHECK_NAMES for word in ("--skip", name)],
            "no check is required: all are skipped, disabled or informational",
        ),
        (("--dataset", "nowhere"), "nowhere: no such folder"),
        (("--negatives", "nowhere"), "nowhere: no such folder of negatives"),
        (("--baseline", "nowhere.onnx"), "nowhere.onnx: "),
        (("--baseline", "nowhere.json"), "nowhere.json: "),
    ],
    ids=lambda value: " ".join(value[:4]) if not isinstance(value, str) else "",
)
def test_mistake_is_one_line_before_anything_is_written(
    tmp_path: Path,
    dataset_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    words: Sequence[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_constant_model(tmp_path / "m.onnx", logit=4.0)
    before = sorted(tmp_path.rglob("*"))
    given = ["gate", "--model", "m.onnx", "--dataset", str(dataset_root), "--baseline", "m.onnx", *words]
    assert starlight.main(given) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith(f"starlight gate: {message}")
    assert sorted(tmp_path.rglob("*")) == before


def test_checks_against_a_baseline_require_one(
    tmp_path: Path, dataset_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_constant_model(tmp_path / "m.onnx", logit=4.0)
    given = ["gate", "--model", "m.onnx", "--dataset", str(dataset_root), "--quiet"]
    assert starlight.main(given) == 2
    assert capsys.readouterr().err == (
        "starlight gate: no baseline for fpr_baseline, detection_baseline, latency_baseline, fpr_stability:"
        " use --baseline, --config, --only or --skip\n"
    )
    assert starlight.main([*given, "--only", "detection_floor"]) == 0
    assert capsys.readouterr() == ("PASSED 5 of 5 (5 inconclusive)\n", "")

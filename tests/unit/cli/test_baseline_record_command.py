"""`record_baseline.py` and the shipped baseline."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from starlight_exporter.checks.baseline import latency_obstacle, obstacle, read_baseline
from starlight_exporter.checks.baseline_recording import baseline_json, latency_warning, misclassified_files
from starlight_exporter.checks.basis import basis_against_recorded
from starlight_exporter.checks.checks import run_checks
from starlight_exporter.checks.machine import current_machine
from starlight_exporter.checks.recorded_parts import RecordedCount, RecordedCounts
from starlight_exporter.detector.contract import FORMATS, METHODS
from starlight_exporter.detector.decision import PRODUCTION
from starlight_exporter.detector.model_file import model_sha256
from starlight_exporter.evaluation.spec import EvaluationSpec
from starlight_exporter.statistics.intervals import Proportion
from support.scripts import run_script
from support.snapshots import MACHINE, example_prediction, full_evaluation

ROOT = Path(__file__).resolve().parents[3]


def _recorded(rate: Proportion) -> RecordedCount:
    return RecordedCount(rate.count, rate.total)


def test_baseline_file_round_trips(tmp_path: Path) -> None:
    measured = full_evaluation()
    file = tmp_path / "baseline.json"
    wrong = frozenset({"b" * 64, "a" * 64})
    file.write_text(baseline_json(measured, wrong, command="c", machine=MACHINE))
    baseline = read_baseline(file)
    assert measured.clean.ratio is not None
    assert baseline.false_positive_ratio == pytest.approx(measured.clean.ratio, abs=1e-8)
    for method, rate in measured.detections.items():
        if rate.ratio is None:
            assert method not in baseline.detection_ratios
        else:
            assert baseline.detection_ratios[method] == pytest.approx(rate.ratio, abs=1e-8)
    assert baseline.false_positive_ratio_by_category == {"patterns": pytest.approx(0.004)}
    assert baseline.counts == RecordedCounts(
        clean=_recorded(measured.clean),
        detections={method: _recorded(rate) for method, rate in measured.detections.items()},
        clean_by_format={name: _recorded(rate) for name, rate in measured.clean_by_format.items()},
        negatives={name: _recorded(rate) for name, rate in measured.negatives.items()},
        latency_images=1000,
    )
    assert baseline.machine == MACHINE
    assert baseline.misclassified == wrong
    provenance = baseline.provenance
    assert provenance is not None
    assert provenance.spec() == EvaluationSpec(
        **{entry.name: getattr(measured.provenance, entry.name) for entry in fields(EvaluationSpec)}
    )
    assert (provenance.seed, provenance.command, provenance.measured_at) == (0, "c", int(measured.finished_at))


def test_misclassified_files_are_one_per_line_and_sorted() -> None:
    text = baseline_json(full_evaluation(), {"b" * 64, "a" * 64}, command="c", machine=MACHINE)
    a, b = (f'    "{digit * 64}"' for digit in "ab")
    assert text.endswith(f'  "misclassified": [\n{a},\n{b}\n  ]\n}}\n')


def test_misclassified_files_are_those_with_a_wrong_verdict() -> None:
    predictions = [
        replace(
            example_prediction(verdict=verdict, stego=kind == "stego", negative=kind == "negative"),
            sha256=f"{kind} {verdict}",
        )
        for kind in ("clean", "stego", "negative")
        for verdict in (True, False, None)
    ]
    assert misclassified_files(predictions) == {"clean True", "stego False", "negative True"}


@pytest.mark.parametrize(
    ("contention", "warning"),
    [
        (None, ""),
        (0.05, ""),
        (0.3512, "the machine was busy: the timed thread did not run for 35.12% of the time"),
    ],
)
def test_latencies_of_a_busy_machine_are_reported(contention: float | None, warning: str) -> None:
    measured = full_evaluation()
    assert measured.latency is not None
    assert latency_warning(replace(measured, latency=replace(measured.latency, contention=contention))) == warning
    assert latency_warning(replace(measured, latency=None)) == ""


def test_file_with_names_that_are_not_utf_8_is_readable(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    measured = full_evaluation(dataset="im\udcffages")
    file.write_text(baseline_json(measured, None, command="c \udcff", machine=MACHINE), encoding="utf-8")
    provenance = read_baseline(file).provenance
    assert provenance is not None
    assert (provenance.dataset, provenance.command) == ("im\\udcffages", "c \\udcff")


def test_model_does_not_regress_against_its_own_baseline(tmp_path: Path) -> None:
    measured = full_evaluation()
    file = tmp_path / "baseline.json"
    file.write_text(baseline_json(measured, None, command="c", machine=MACHINE))
    checks = run_checks(measured, basis_against_recorded(measured, None, read_baseline(file)))
    against = [c for c in checks if c.name in ("fpr_baseline", "fpr_stability", "detection_baseline")]
    assert {c.conclusion for c in against} == {"pass"}


@pytest.mark.slow
def test_writes_a_baseline_with_provenance(tmp_path: Path, model_path: Path, dataset_root: Path) -> None:
    output = tmp_path / "baseline.json"
    done = run_script("record_baseline.py", "--model", model_path, "--dataset", dataset_root, "--output", output)
    assert done.returncode == 0, done.stderr
    baseline = read_baseline(output)
    assert baseline.detection_ratios.keys() == {"alpha", "palette", "lsb", "exif", "eoi"}
    provenance = baseline.provenance
    assert provenance is not None
    assert provenance.command is not None
    assert provenance.command.startswith(f"scripts/record_baseline.py --model {model_path}")
    assert latency_obstacle(baseline, current_machine()) is None
    spec = provenance.spec()
    assert spec is not None
    assert obstacle(baseline, spec) is None
    assert baseline.misclassified
    counts = baseline.counts
    assert counts.clean is not None
    wrong = counts.clean.count + sum(one.count for one in counts.negatives.values())
    wrong += sum(one.total - one.count for one in counts.detections.values())
    assert len(baseline.misclassified) == wrong


def test_shipped_baseline_is_complete_and_has_provenance() -> None:
    file = ROOT / "tests" / "regression_baselines.json"
    baseline = read_baseline(file)
    assert baseline.false_positive_ratio is not None
    assert baseline.detection_ratios.keys() == set(METHODS)
    assert baseline.latency_seconds.keys() == {0.5, 0.95, 0.99}
    assert baseline.throughput is not None
    assert baseline.false_positive_ratio_by_format.keys() == set(FORMATS)
    provenance = baseline.provenance
    assert provenance is not None
    assert (provenance.model, provenance.dataset) == ("v4", "reference")
    assert provenance.model_sha256 == model_sha256(ROOT / "models" / "v4" / "model.onnx")
    assert provenance.decision == PRODUCTION.describe()
    assert provenance.command is not None
    assert "/tmp" not in provenance.command
    assert provenance.spec() is not None
    assert baseline.machine is not None
    assert baseline.misclassified is not None


@pytest.mark.slow
def test_rejects_a_dataset_without_a_method(tmp_path: Path, model_path: Path) -> None:
    from support.images import write_dataset

    root = write_dataset(tmp_path / "images", stego=0)
    output = tmp_path / "baseline.json"
    done = run_script("record_baseline.py", "--model", model_path, "--dataset", root, "--output", output)
    assert done.returncode == 2
    assert "lacks" in done.stderr
    assert not output.exists()

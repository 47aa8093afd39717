"""`starlight baseline show`: the baseline in use and whether its recorded values are comparable."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from starlight_exporter.checks.baseline_recording import baseline_json
from starlight_exporter.checks.machine import Machine, current_machine
from starlight_exporter.cli import main as starlight
from starlight_exporter.dataset.layout import scan
from starlight_exporter.detector.decision import PRODUCTION
from starlight_exporter.detector.model_file import model_sha256
from support.baselines import V3, BaselineSetup, baseline_setup
from support.images import write_dataset
from support.run_cache import RunCache
from support.snapshots import full_evaluation

OLD = model_sha256(V3)


@pytest.fixture
def images(run_cache: RunCache) -> Path:
    return run_cache.noise_dataset(clean=10, stego=10, negatives=4)


@pytest.fixture
def setup(tmp_path: Path, images: Path) -> BaselineSetup:
    """A baseline recorded from v3 on these images, on this machine."""
    setup = baseline_setup(tmp_path, images)
    record(setup, current_machine())
    return setup


def record(
    setup: BaselineSetup, machine: Machine, *, decision: str = PRODUCTION.describe(), model_sha256: str = OLD
) -> None:
    evaluation = full_evaluation(
        model="accepted",
        dataset="small",
        fingerprint=scan("small", setup.images).fingerprint,
        model_sha256=model_sha256,
        decision=decision,
    )
    software = replace(
        evaluation.provenance,
        onnxruntime_version=machine.onnxruntime_version,
        execution_provider=machine.execution_provider,
    )
    text = baseline_json(replace(evaluation, provenance=software), {"a" * 64}, command="the command", machine=machine)
    setup.recorded.parent.mkdir(exist_ok=True)
    setup.recorded.write_text(text)


def show(setup: BaselineSetup, *flags: object) -> int:
    return starlight.main(["baseline", "show", "--config", str(setup.config), *map(str, flags)])


def sections(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    """Return section → name → text of the printed rows."""
    found: dict[str, dict[str, str]] = {}
    title = ""
    for line in capsys.readouterr().out.splitlines():
        if line.startswith("  "):
            name, text = re.split(r"  +", line.strip(), maxsplit=1)
            found[title][name] = text
        else:
            title = line
            found[title] = {}
    return found


def test_shows_model_and_recorded_values(
    setup: BaselineSetup, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show(setup) == 0
    found = sections(capsys)
    assert list(found) == ["baseline model accepted", "recorded baseline", "comparable here"]
    rule = PRODUCTION.describe()
    expected = {"file": str(setup.baseline), "SHA-256": OLD, "decision rule": rule}
    assert found["baseline model accepted"] == expected
    assert found["recorded baseline"] == {
        "file": str(setup.recorded),
        "model": f"accepted (SHA-256 {OLD})",
        "dataset": f"small (fingerprint {scan('small', images).fingerprint})",
        "decision rule": rule,
        "measured at": "2026-09-21 14:13:20 UTC",
        "command": "the command",
        "software": f"exporter 0.1.0, onnxruntime {current_machine().onnxruntime_version}, NumPy 2.4.6, Pillow 13.0.0",
        "machine": current_machine().describe(),
        "false positive rate": "0.075% (3 of 4,000)",
        "clean jpeg": "0.00% (0 of 2,000)",
        "clean png": "0.15% (3 of 2,000)",
        "negative patterns": "0.40% (1 of 250)",
        "detection rate alpha": "100.00% (200 of 200)",
        "detection rate palette": "98.50% (197 of 200)",
        "detection rate lsb": "97.00% (194 of 200)",
        "detection rate exif": "95.50% (191 of 200)",
        "detection rate eoi": "94.00% (188 of 200)",
        "latency": "p50 2.10 ms, p95 3.40 ms, p99 4.70 ms",
        "throughput": "454.5 images/s",
        "misclassified files": "1",
    }
    assert found["comparable here"] == {
        "model": "recorded from the baseline model",
        "rates of production": "comparable on the same images, which --dataset checks",
        "latency": "comparable if the rates are",
    }


def test_dataset_decides_whether_rates_are_comparable(
    setup: BaselineSetup, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show(setup, "--dataset", images) == 0
    assert sections(capsys)["comparable here"]["rates of production"] == "comparable"
    other = write_dataset(tmp_path / "other", clean=5, stego=0, negatives=0)
    assert show(setup, "--dataset", other) == 0
    result = sections(capsys)["comparable here"]["rates of production"]
    assert result.startswith("not comparable: the baseline was recorded on other images (dataset fingerprint ")


def test_other_rule_machine_and_model_are_reported(setup: BaselineSetup, capsys: pytest.CaptureFixture[str]) -> None:
    machine = replace(current_machine(), processor="another processor")
    record(setup, machine, decision="probability > 0.5", model_sha256="0" * 64)
    assert show(setup) == 0
    found = sections(capsys)["comparable here"]
    assert found["model"].startswith("mismatch: recorded from SHA-256 000000000000, which is not the baseline model")
    assert found["rates of production"].startswith("not comparable: the baseline was recorded with another decision")
    assert found["latency"].startswith("not comparable: the baseline was recorded on another machine: different proc")


def test_file_of_the_first_release_has_unknown_parts(setup: BaselineSetup, capsys: pytest.CaptureFixture[str]) -> None:
    setup.recorded.write_text('{"fpr": 0.05, "provenance": {"model": "v3", "machine": "a machine"}}')
    assert show(setup) == 0
    found = sections(capsys)
    assert found["recorded baseline"]["machine"] == "unknown"
    assert found["recorded baseline"]["model"] == "v3 (SHA-256 unknown)"
    assert found["recorded baseline"]["false positive rate"] == "0.05%"
    assert found["recorded baseline"]["latency"] == "not recorded"
    assert found["recorded baseline"]["misclassified files"] == "not recorded"
    here = found["comparable here"]
    assert here["model"].startswith("mismatch: recorded from an unknown model")
    assert here["rates of production"] == "not comparable: the recorded baseline has no dataset fingerprint"
    assert here["latency"] == "not comparable: the recorded baseline does not describe its machine"


def test_missing_parts_are_named(setup: BaselineSetup, capsys: pytest.CaptureFixture[str]) -> None:
    setup.configure(models=[setup.model("production")], baseline=None)
    assert show(setup) == 0
    assert sections(capsys) == {
        "baseline model": {"model": "none is configured with the role baseline"},
        "recorded baseline": {"file": "not configured (key baseline)"},
    }


@pytest.mark.parametrize("content", [None, '{"fpr": 0, "fpr": 1}'])
def test_recorded_file_that_cannot_be_read_exits_with_2(
    setup: BaselineSetup, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is None:
        setup.recorded.unlink()
    else:
        setup.recorded.write_text(content)
    assert show(setup) == 2
    problem = "no such baseline file" if content is None else "duplicate key fpr"
    assert sections(capsys)["recorded baseline"] == {"file": f"{setup.recorded}: {problem}"}


def test_model_that_cannot_be_read_exits_with_2(setup: BaselineSetup, capsys: pytest.CaptureFixture[str]) -> None:
    setup.baseline.unlink()
    assert show(setup) == 2
    found = sections(capsys)
    assert found["baseline model accepted"]["file"] == f"{setup.baseline}: no such model file"
    assert "recorded baseline" in found

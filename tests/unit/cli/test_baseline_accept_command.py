"""`starlight baseline accept`: replaces model and recorded file together, or neither."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from starlight_exporter.checks.baseline import Baseline, obstacle, read_baseline
from starlight_exporter.cli import main as starlight
from starlight_exporter.config import load_config
from starlight_exporter.dataset.layout import scan
from starlight_exporter.detector.decision import PRODUCTION
from starlight_exporter.detector.model_file import model_sha256
from starlight_exporter.errors import StorageError
from starlight_exporter.runs.baseline_acceptance import plan_acceptance, replace_baseline
from support.baselines import V3, V4, BaselineSetup, baseline_setup
from support.images import write_dataset
from support.run_cache import RunCache

OLD, NEW = model_sha256(V3), model_sha256(V4)


@pytest.fixture
def setup(tmp_path: Path, run_cache: RunCache) -> BaselineSetup:
    return baseline_setup(tmp_path, run_cache.noise_dataset(clean=10, stego=10, negatives=4))


def accept(setup: BaselineSetup, *flags: str) -> int:
    return starlight.main(["baseline", "accept", "--config", str(setup.config), *flags])


def recorded(setup: BaselineSetup) -> Baseline:
    return read_baseline(setup.recorded)


def files(setup: BaselineSetup) -> dict[Path, bytes]:
    """Return every file of the setup with its content."""
    folder = setup.config.parent
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.slow
def test_replaces_baseline_model_and_records_its_results(
    tmp_path: Path, run_cache: RunCache, capsys: pytest.CaptureFixture[str]
) -> None:
    images = run_cache.small_synthetic(seed=31, clean=150, stego=150, negatives=25)
    setup = baseline_setup(tmp_path, images)
    assert accept(setup, "--yes") == 0
    out = capsys.readouterr().out
    assert f"SHA-256         {OLD} → {NEW}\n" in out
    assert f"decision rule   {PRODUCTION.describe()} → {PRODUCTION.describe()}\n" in out
    assert "rates on small\n" in out
    assert re.search(r"^  false positive rate +[\d.<]+% \(\d+ of 150.*\) → 0\.00% \(0 of 150", out, re.MULTILINE)
    assert re.search(r"^  detection rate, lsb +[\d.]+% \(\d+ of 30.*\) → [\d.]+% \(\d+ of 30", out, re.MULTILINE)
    assert out.endswith(f"written: {setup.recorded}\nwritten: {setup.baseline}\n")
    assert setup.baseline.read_bytes() == V4.read_bytes()
    provenance = recorded(setup).provenance
    assert provenance is not None
    assert (provenance.model, provenance.dataset, provenance.model_sha256) == ("production", "small", NEW)
    assert provenance.command == f"starlight baseline accept --config {setup.config} --yes"
    spec = provenance.spec()
    assert spec is not None
    assert obstacle(recorded(setup), replace(spec, dataset_fingerprint=scan("small", images).fingerprint)) is None
    assert recorded(setup).misclassified is not None
    assert recorded(setup).latency_seconds.keys() >= {0.5}

    before = files(setup)
    assert accept(setup) == 0
    assert "the recorded baseline is comparable; nothing to do" in capsys.readouterr().out
    assert files(setup) == before


def test_requires_yes_without_a_terminal(setup: BaselineSetup, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(setup)
    assert accept(setup) == 2
    output = capsys.readouterr()
    assert "standard input is not a terminal; pass --yes" in output.err
    assert f"{OLD} → {NEW}" in output.out
    assert files(setup) == before


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("yes\n", 0), ("n\n", 2), ("\n", 2), ("\x04", 2)])
@pytest.mark.slow
def test_asks_on_a_terminal(setup: BaselineSetup, answer: str, code: int) -> None:
    before = files(setup)
    command = [sys.executable, "-m", "starlight_exporter.cli.main", "baseline", "accept", "--config", str(setup.config)]
    master, terminal = pty.openpty()
    try:
        os.write(master, answer.encode())
        done = subprocess.run(command, stdin=terminal, capture_output=True, text=True, check=False, timeout=100)
    finally:
        os.close(terminal)
        os.close(master)
    assert done.returncode == code, done.stderr
    assert "Accept? [y/N]" in done.stdout
    if code == 0:
        assert setup.baseline.read_bytes() == V4.read_bytes()
        assert recorded(setup).provenance is not None
    else:
        assert "not accepted" in done.stdout
        assert files(setup) == before


@pytest.mark.parametrize(
    "decision",
    [{"threshold": 0.25}, {"thresholds": {"alpha": 0.1, "palette": 0.2, "lsb": 0.3, "exif": 0.4, "eoi": 0.5}}],
)
def test_requires_equal_decision_rules(
    setup: BaselineSetup, decision: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    models = [setup.model("production", decision=decision), setup.model("baseline")]
    setup.configure(models=models)
    before = files(setup)
    assert accept(setup, "--yes") == 2
    output = capsys.readouterr()
    assert f"decision rule   {PRODUCTION.describe()} → probability > " in output.out
    message, _, lines = output.err.partition("\n")
    assert message.startswith("not accepted: baseline needs the decision rule of production; change its decision in ")
    assert files(setup) == before

    setup.configure(models=[models[0], {**models[1], **yaml.safe_load(lines)}])
    assert accept(setup) == 2
    assert "standard input is not a terminal" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        (["baseline"], "expected exactly one model with role production, found 0"),
        (["production"], "expected exactly one model with role baseline, found 0"),
        (["production", "baseline", "baseline"], "models: expected at most one model with role baseline"),
        (["production", "production", "baseline"], "one model with role production, found 2: model-0, model-1"),
    ],
)
def test_requires_one_model_of_each_role(
    setup: BaselineSetup, roles: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    models = [setup.model(role, name=f"model-{number}") for number, role in enumerate(roles)]
    setup.configure(models=models)
    assert accept(setup, "--yes") == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"baseline": None}, "baseline: expected the file of the recorded baseline"),
        ({"baseline": "production/model.onnx"}, "baseline: expected the file of the recorded baseline, not a model"),
        ({"datasets": [{"name": "missing", "path": "missing"}]}, "datasets: no folder of a labelled dataset exists: "),
    ],
)
def test_requires_recorded_file_and_dataset(
    setup: BaselineSetup, changes: dict[str, Any], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    setup.configure(**changes)
    assert accept(setup, "--yes") == 2
    assert f"{setup.config}: {message}" in capsys.readouterr().err


def test_rejects_production_that_is_a_link_to_the_baseline(
    setup: BaselineSetup, capsys: pytest.CaptureFixture[str]
) -> None:
    setup.production.unlink()
    setup.production.symlink_to(setup.baseline)
    assert accept(setup, "--yes") == 2
    assert "production and accepted are the same file" in capsys.readouterr().err


def test_missing_production_model_is_an_error(setup: BaselineSetup, capsys: pytest.CaptureFixture[str]) -> None:
    setup.production.unlink()
    assert accept(setup, "--yes") == 2
    assert f"{setup.production}: no such model file" in capsys.readouterr().err


@pytest.mark.parametrize("blocked", ["baseline", "recorded"])
def test_folder_that_is_not_writable_is_an_error(
    setup: BaselineSetup, blocked: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = getattr(setup, blocked).parent
    shutil.rmtree(folder, ignore_errors=True)
    folder.write_text("a file instead of a folder")
    before = files(setup)
    assert accept(setup, "--yes") == 2
    assert f"{getattr(setup, blocked)}: cannot be written: Not a directory" in capsys.readouterr().err
    assert files(setup) == before


def test_dataset_without_a_method_is_an_error(
    setup: BaselineSetup, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = write_dataset(tmp_path / "images", clean=5, stego=4, negatives=0)
    setup.configure(datasets=[{"name": "incomplete", "path": str(images)}])
    before = files(setup)
    assert accept(setup, "--yes") == 2
    assert f"{images}: lacks clean images or a method; not accepted" in capsys.readouterr().err
    assert files(setup) == before


@pytest.mark.parametrize("content", [None, b"no model"])
@pytest.mark.slow
def test_accepts_although_the_old_model_cannot_be_evaluated(
    setup: BaselineSetup, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(setup.baseline.parent)
    if content is not None:
        setup.baseline.parent.mkdir()
        setup.baseline.write_bytes(content)
    assert accept(setup, "--yes") == 0
    out = capsys.readouterr().out
    assert f"old rates not measured: {setup.baseline}: " in out
    assert "%) → " not in out
    assert setup.baseline.read_bytes() == V4.read_bytes()


def changed_record(setup: BaselineSetup, section: str, key: str, value: object) -> None:
    content = json.loads(setup.recorded.read_text())
    content[section][key] = value
    setup.recorded.write_text(json.dumps(content))


@pytest.mark.slow
def test_same_model_is_recorded_again_only_if_needed(setup: BaselineSetup, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy(V4, setup.baseline)
    unchanged = setup.baseline.stat()
    reasons = []

    def accepted() -> None:
        assert accept(setup, "--yes") == 0
        out = capsys.readouterr().out
        assert "the production model already is the baseline model" in out
        reasons.append(out.partition("to be recorded again: ")[2].partition("\n")[0])
        assert f"written: {setup.recorded}\n" in out
        assert str(setup.baseline) not in out.partition("written: ")[2]

    accepted()
    for change in (
        ("machine", "processor", "another"),
        ("provenance", "dataset_fingerprint", "0" * 64),
        ("provenance", "decision", "probability > 0.5"),
        ("provenance", "model_sha256", "0" * 64),
        ("provenance", "unknown", 1),
    ):
        changed_record(setup, *change)
        accepted()
    expected = (
        "no such baseline file",
        "recorded on another machine: different processors (another; ",
        "recorded on other images",
        "recorded with another decision rule",
        "recorded from another model",
        "provenance: unknown key unknown",
    )
    assert [text in reason for text, reason in zip(expected, reasons, strict=True)] == [True] * len(expected), reasons
    now = setup.baseline.stat()
    assert (now.st_ino, now.st_mtime_ns) == (unchanged.st_ino, unchanged.st_mtime_ns)


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
@pytest.mark.slow
def test_baseline_that_is_a_link_to_production_becomes_a_copy(
    setup: BaselineSetup, link: str, capsys: pytest.CaptureFixture[str]
) -> None:
    setup.baseline.unlink()
    getattr(setup.baseline, link)(setup.production)
    assert accept(setup, "--yes") == 0
    assert "to be replaced by a copy" in capsys.readouterr().out
    assert not setup.baseline.samefile(setup.production)
    assert setup.baseline.read_bytes() == setup.production.read_bytes() == V4.read_bytes()


@pytest.mark.slow
def test_baseline_that_is_a_link_to_a_research_model_leaves_it_unchanged(setup: BaselineSetup, tmp_path: Path) -> None:
    research = tmp_path / "v3.onnx"
    shutil.copy(V3, research)
    setup.baseline.unlink()
    setup.baseline.symlink_to(research)
    assert accept(setup, "--yes") == 0
    assert research.read_bytes() == V3.read_bytes()
    assert setup.baseline.read_bytes() == V4.read_bytes()


@pytest.mark.parametrize("previous", [None, "the previous file"])
def test_recorded_file_is_restored_if_the_model_cannot_be_replaced(setup: BaselineSetup, previous: str | None) -> None:
    plan = plan_acceptance(load_config(setup.config), setup.config)
    if previous is not None:
        setup.recorded.parent.mkdir()
        setup.recorded.write_text(previous)
    # A folder cannot be replaced by a file.
    setup.baseline.unlink()
    (setup.baseline / "folder").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"model\.onnx: cannot be written: "):
        replace_baseline(plan, "the new file")
    assert (setup.recorded.read_text() if setup.recorded.exists() else None) == previous
    assert [path.name for path in setup.baseline.parent.iterdir()] == ["model.onnx"]


def test_model_is_unchanged_if_the_recorded_file_cannot_be_replaced(setup: BaselineSetup) -> None:
    plan = plan_acceptance(load_config(setup.config), setup.config)
    (setup.recorded / "folder").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"baseline\.json: cannot be read: is a directory"):
        replace_baseline(plan, "the new file")
    assert setup.baseline.read_bytes() == V3.read_bytes()
    assert [path.name for path in setup.baseline.parent.iterdir()] == ["model.onnx"]


def test_interrupt_after_both_files_were_replaced_keeps_both(
    setup: BaselineSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_acceptance(load_config(setup.config), setup.config)
    rename = Path.replace

    def rename_and_interrupt(source: Path, target: Path) -> Path:
        renamed = rename(source, target)
        if target == setup.baseline:
            raise KeyboardInterrupt
        return renamed

    monkeypatch.setattr(Path, "replace", rename_and_interrupt)
    with pytest.raises(KeyboardInterrupt):
        replace_baseline(plan, "the new file")
    assert (setup.baseline.read_bytes(), setup.recorded.read_text()) == (V4.read_bytes(), "the new file")


@pytest.mark.slow
def test_interruption_between_both_files_is_reported_and_repaired(
    setup: BaselineSetup, capsys: pytest.CaptureFixture[str]
) -> None:
    show = ["baseline", "show", "--config", str(setup.config)]
    assert accept(setup, "--yes") == 0
    shutil.copy(V3, setup.baseline)
    capsys.readouterr()
    assert starlight.main(show) == 0
    assert f"mismatch: recorded from SHA-256 {NEW[:12]}, which is not the baseline model" in capsys.readouterr().out
    assert accept(setup, "--yes") == 0
    capsys.readouterr()
    assert starlight.main(show) == 0
    assert "recorded from the baseline model" in capsys.readouterr().out

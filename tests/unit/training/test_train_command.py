"""scripts/train_reference_model.py: errors in one line, and the files of a small run."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from rich.progress import Progress

from starlight_exporter.models.cards import read_card
from starlight_exporter.models.training_log import read_training_log
from support.run_cache import RunCache
from support.scripts import run_script
from training.card import card_markdown

call = partial(run_script, "train_reference_model.py")


def test_help_needs_no_pytorch() -> None:
    done = call("--help")
    assert done.returncode == 0
    for flag in (
        "--variant",
        "--out",
        "--train-dataset",
        "--validation-dataset",
        "--measure",
        "--measure-only",
        "--seed",
    ):
        assert flag in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--out", "x"), "--train-dataset and --validation-dataset are needed"),
        (("--out", "x", "--measure-only", "--measure", "nonsense"), "--measure nonsense: expected TITLE=DIR"),
        (("--out", "x", "--train-dataset", "a", "--validation-dataset", "b", "--epochs", "0"), "at least 1, got 0"),
        (("--out", "x", "--threads", "0"), "--threads: expected an integer of at least 1, got 0"),
        (("--out", "x", "--variant", "v9"), "invalid choice"),
    ],
)
def test_reports_invalid_arguments_in_one_line(arguments: tuple[str, ...], message: str) -> None:
    done = call(*arguments)
    assert done.returncode == 2
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_reports_missing_dataset(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed (the train extra)")
    missing = tmp_path / "missing"
    done = call("--out", str(tmp_path / "m"), "--train-dataset", str(missing), "--validation-dataset", str(missing))
    assert done.returncode == 2
    assert str(missing) in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_reports_missing_model(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed (the train extra)")
    done = call("--out", str(tmp_path), "--measure-only")
    assert done.returncode == 2
    assert "card.yml: no such card" in done.stderr.splitlines()[-1]


def test_unusable_folder_to_measure_is_an_error_before_training(tmp_path: Path, run_cache: RunCache) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed (the train extra)")
    data, out = run_cache.synthetic(seed=5, clean=24, stego=30, negatives=10), tmp_path / "tiny"
    done = call(
        *("--variant", "v3", "--out", str(out), "--train-dataset", str(data), "--validation-dataset", str(data)),
        *("--measure", f"a title with = in it={data}"),
    )
    assert done.returncode == 2
    assert f" in it={data}: no such dataset folder" in done.stderr.splitlines()[-1]
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_small_run_writes_consistent_model_log_and_card(
    tmp_path: Path, run_cache: RunCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed (the train extra)")
    from training import command, measure

    # The full probes have a thousand images.
    monkeypatch.setattr(measure, "PROBE_IMAGES", 2)
    data = run_cache.synthetic(seed=5, clean=24, stego=30, negatives=10)
    out = tmp_path / "models" / "tiny"
    job = command.Job(
        variant="v3",
        out=out,
        train_datasets=(data,),
        validation_dataset=data,
        epochs=2,
        seed=0,
        threads=1,
        measure=(("a small set", data),),
        remarks=("Too small to be of use.",),
        measure_only=False,
        cache=None,
    )
    with Progress(disable=True) as bar:
        command.run(job, bar, lambda _line: None)
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md",
        "card.yml",
        "model.onnx",
        "training_files.sha256",
        "training_log.jsonl",
    ]
    card = read_card(out)
    assert card["measured"][0]["dataset"] == "a small set"
    assert card["measured"][0]["false_positives"]["total"] == 24
    assert card["training"]["datasets"][0]["seed"] == 5
    assert card["remarks"] == ["Too small to be of use."]
    assert card["latency"]["images"] > 0
    assert {probe["probe"] for probe in card["weaknesses"]}
    assert (out / "README.md").read_text(encoding="utf-8") == card_markdown(card)
    assert len(read_training_log(out / "training_log.jsonl").epochs) == 2


def test_models_trained_on_the_same_files_share_a_manifest(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch is not installed (the train extra)")
    from training.command import write_manifest

    folder = tmp_path / "v9"
    folder.mkdir()
    own, shared = folder / "training_files.sha256", tmp_path / "training_files.sha256"
    assert write_manifest(folder, "0123456789abcdef\n") is None
    assert own.read_text() == "0123456789abcdef\n"
    shared.write_text("fedcba9876543210\n")
    assert write_manifest(folder, "0123456789abcdef\n") is None
    shared.write_text("0123456789abcdef\n")
    assert write_manifest(folder, "0123456789abcdef\n") == "../training_files.sha256"
    assert not own.exists()

"""A hostile model folder costs that model: cards, logs and manifests have types, lengths and character sets."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from starlight_exporter.errors import ModelError, StorageError
from starlight_exporter.evaluation.inputs import load_detector
from starlight_exporter.models.cards import MAX_CARD_BYTES, MAX_TITLE, find_models, model_in
from starlight_exporter.models.records import read_records
from starlight_exporter.models.training_files import MANIFEST_NAME, read_manifest
from starlight_exporter.models.training_log import MAX_EPOCHS, read_training_log
from support.run_requests import run_request

CARDS = {
    "number of 5,000 digits": "title: 0x" + "f" * 5000,
    "date": "title: 2024-01-01",
    "long title": f"title: {'x' * (MAX_TITLE + 1)}",
    "lone surrogate": r'title: "\ud800"',
    "control character": r'title: "\x1b[31mred"',
    "reversed direction": r'title: "\u202etxt.exe"',
    "line break": 'title: "a\\nb"',
    "NUL in the file name": r'file: "a\0b.onnx"',
    "surrogate in the file name": r'file: "\udcff.onnx"',
    "parent folder as file": 'file: ".."',
    "number as file": "file: 3",
    "hash as number": "sha256: 12",
    "short hash": "sha256: abc",
    "NUL in the manifest": r'training_files: "../a\0b"',
    "list as title": "title: [a]",
    "aliases that multiply": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "title: *i",
    "deep nesting": "[" * 5000,
    "too large": "title: x\n#" + "x" * MAX_CARD_BYTES,
    "not a mapping": "- a",
    "binary": "\x00\x01",
}


def folder(root: Path, card: str, name: str = "v1") -> Path:
    (root / name).mkdir(parents=True)
    (root / name / "card.yml").write_text(card, encoding="utf-8", errors="surrogatepass")
    return root / name


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
@pytest.mark.timeout(60)
def test_unusable_card_is_a_problem_of_its_model_only(tmp_path: Path, card: str) -> None:
    folder(tmp_path, card)
    folder(tmp_path, "title: usable", "v2")
    broken, usable = find_models(tmp_path)
    assert broken.problem is not None
    assert str(tmp_path / "v1" / "card.yml") in broken.problem
    assert broken.problem.isprintable()
    assert (broken.file.name, broken.title, usable.title, usable.problem) == ("model.onnx", "", "usable", None)


@pytest.mark.timeout(60)
def test_card_that_is_a_pipe_or_a_link_to_another_place_is_a_problem(tmp_path: Path) -> None:
    models = tmp_path / "models"
    for name in ("pipe", "link"):
        (models / name).mkdir(parents=True)
    os.mkfifo(models / "pipe" / "card.yml")
    (tmp_path / "secret.yml").write_text("title: secret")
    (models / "link" / "card.yml").symlink_to("../../secret.yml")
    assert "is a named pipe" in str(model_in(models / "pipe").problem)
    assert "leads out of" in str(model_in(models / "link").problem)


def test_missing_model_names_the_problem_of_its_card(tmp_path: Path) -> None:
    path = folder(tmp_path, "title: 3") / "model.onnx"
    request = run_request(path, tmp_path, models_dir=tmp_path)
    with pytest.raises(ModelError) as caught:
        load_detector(request)
    assert caught.value.reason == "missing"
    assert str(caught.value) == (
        f"{path.parent / 'card.yml'}: title: expected at most 200 printable characters; {path}: no such model file"
    )
    with pytest.raises(ModelError) as caught:
        load_detector(replace(request, role="production"))
    assert str(caught.value) == f"{path}: no such model file"


def log(path: Path, *losses: float) -> Path:
    lines = (
        json.dumps({"epoch": number, "train_loss": loss, "validation_loss": loss}) for number, loss in enumerate(losses)
    )
    path.write_text("\n".join(lines))
    return path


def test_largest_losses_are_read(tmp_path: Path) -> None:
    health = read_training_log(log(tmp_path / "log.jsonl", *[1.7e308, 0.1] * 5))
    assert health.stability_ratio is None
    assert health.convergence_rate is not None
    assert health.generalization_gap == 0
    assert len(health.epochs) == 10
    json.dumps([epoch.train_loss for epoch in health.epochs], allow_nan=False)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('{"epoch": 1' + "0" * 4000 + ', "train_loss": 1, "validation_loss": 1}', "epoch: expected an integer"),
        ('{"epoch": ' + "1" * 5000 + ', "train_loss": 1, "validation_loss": 1}', "not JSON"),
        ('{"epoch": 1, "train_loss": 1' + "0" * 400 + ', "validation_loss": 1}', "train_loss: too large a number"),
        ("[" * 100_000, "not JSON"),
        ('{"epoch": "\\ud800", "train_loss": 1, "validation_loss": 1}', "epoch: expected an integer"),
    ],
)
def test_unusable_log_names_the_line(tmp_path: Path, line: str, text: str) -> None:
    (tmp_path / "log.jsonl").write_text(line)
    with pytest.raises(StorageError, match=text) as caught:
        read_training_log(tmp_path / "log.jsonl")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_log_with_too_many_epochs_is_refused(tmp_path: Path) -> None:
    assert len(read_training_log(log(tmp_path / "log.jsonl", *[0.5] * MAX_EPOCHS)).epochs) == MAX_EPOCHS
    with pytest.raises(StorageError, match="more than 10000 epochs"):
        read_training_log(log(tmp_path / "log.jsonl", *[0.5] * (MAX_EPOCHS + 1)))


@pytest.mark.timeout(60)
def test_records_that_are_pipes_or_lead_out_are_problems(tmp_path: Path) -> None:
    models = tmp_path / "models"
    path = folder(models, "title: usable") / "model.onnx"
    path.write_bytes(b"model")
    os.mkfifo(path.with_name("training_log.jsonl"))
    (tmp_path / "secret").write_text("0123456789abcdef\n")
    path.with_name(MANIFEST_NAME).symlink_to(tmp_path / "secret")
    records = read_records(path, "0" * 64, training_log=None, models_dir=models)
    assert (records.training, records.manifest) == (None, None)
    first, second = records.problems
    assert "is a named pipe" in first
    assert "leads out of" in second
    assert read_manifest(tmp_path / "secret").tolist() == [0x0123456789ABCDEF]

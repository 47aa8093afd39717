"""Model variants: discovery, rows of models that cannot be evaluated, marks of the best model, and the script."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from starlight_exporter.errors import DatasetError
from starlight_exporter.evaluation.figures import figures
from starlight_exporter.evaluation.results import Prediction, RunResult
from starlight_exporter.models.cards import FoundModel, find_models
from starlight_exporter.publish.documents.model_variants import BEST, NOT_SIGNIFICANT, Variant, cells, document, marks
from support.images import write_dataset
from support.models import write_random_model
from support.scripts import run_script
from support.snapshots import example_prediction, full_evaluation, proportion


def variant(name: str, false_alarms: int, shift: int = 0) -> Variant:
    predictions: tuple[Prediction, ...] = tuple(
        example_prediction(f"clean/{number:03}.png", verdict=shift <= number < shift + false_alarms)
        for number in range(100)
    )
    measured = replace(full_evaluation(model=name), clean=proportion(false_alarms, 100))
    return Variant(name, f"the {name} one", RunResult(measured, predictions, None), None)


def test_marks_best_model_and_insignificant_differences() -> None:
    marked = marks([variant("best", 2), variant("close", 4), variant("worse", 30)])
    assert marked["best", "false positive rate"] == BEST
    assert marked["close", "false positive rate"] == NOT_SIGNIFICANT
    assert ("worse", "false positive rate") not in marked
    # All else is equal, and equal ones are all the best.
    assert {marked[name, "size"] for name in ("best", "close", "worse")} == {BEST}


def scored_variant(name: str, stego_mean: float, seed: int) -> Variant:
    """Return a model with logistic scores of 250 clean and 150 stego images around 0 and `stego_mean`."""
    random = np.random.default_rng(seed)
    predictions: list[Prediction] = []
    for number in range(400):
        stego = number >= 250
        score = 1 / (1 + math.exp(-random.normal(stego_mean if stego else 0.0)))
        folder = "stego" if stego else "clean"
        shown = example_prediction(f"{folder}/{number:03}.png", verdict=score > 0.5, stego=stego)
        predictions.append(replace(shown, probability=score))
    measured = replace(full_evaluation(model=name), figures=figures(predictions, seed=0))
    return Variant(name, "", RunResult(measured, tuple(predictions), None), None)


def test_marks_differences_of_figures_of_merit_by_a_paired_bootstrap() -> None:
    variants = [scored_variant("best", 2.0, 5), scored_variant("close", 1.9, 4), scored_variant("worse", 1.0, 3)]
    marked = marks(variants)
    assert marked["best", "P_E"] == BEST
    assert marked["close", "P_E"] == NOT_SIGNIFICANT
    assert ("worse", "P_E") not in marked
    text = document(variants)
    assert "| P_E |" in text
    assert re.search(r"\| best \|.* \d+\.\d\d% \(95% CI [\d.]+–[\d.]+%\) ★ \|", text)


def test_row_of_unmeasured_model_has_the_reason() -> None:
    broken = Variant("broken", "", None, "not measured: invalid")
    rows = list(cells([variant("best", 2), broken]))
    assert rows[1][:2] == ("broken", "not measured: invalid")
    assert len({len(row) for row in rows}) == 1
    assert "| broken | not measured: invalid |" in document([variant("best", 2), broken])


def write_card(folder: Path, **content: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "card.yml").write_text(yaml.safe_dump(content))


def test_models_are_found_by_card_or_file(tmp_path: Path) -> None:
    write_card(tmp_path / "b", name="a", title="a title", file="weights.onnx")
    write_card(tmp_path / "a")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "card.yml").write_text("[not: {a card")
    (tmp_path / "empty").mkdir()
    (tmp_path / "uncarded").mkdir()
    (tmp_path / "uncarded" / "model.onnx").write_bytes(b"anything")
    (tmp_path / "folder" / "model.onnx").mkdir(parents=True)
    first, second, broken, not_a_file, uncarded = find_models(tmp_path)
    assert (first.name, first.file) == ("a", tmp_path / "a" / "model.onnx")
    # The folder name identifies a model: a copied card has the name of another model.
    assert (second.name, second.title, second.file) == ("b", "a title", tmp_path / "b" / "weights.onnx")
    assert broken.problem is not None
    assert str(tmp_path / "c" / "card.yml") in broken.problem
    # A model that is no file is reported as unreadable when it is loaded.
    assert not_a_file == FoundModel("folder", tmp_path / "folder" / "model.onnx", has_card=False)
    assert uncarded == FoundModel("uncarded", tmp_path / "uncarded" / "model.onnx", has_card=False)


def test_error_for_folder_without_models(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no model; expected"):
        find_models(tmp_path)
    with pytest.raises(DatasetError, match="cannot be read"):
        find_models(tmp_path / "nowhere")


@pytest.mark.slow
def test_script_evaluates_valid_models_and_reports_others(tmp_path: Path) -> None:
    models, images = tmp_path / "models", write_dataset(tmp_path / "small", clean=10, stego=10, negatives=2)
    for name, seed in (("one", 1), ("two", 2)):
        write_card(models / name, name=name, title=f"number {name}", file="model.onnx")
        write_random_model(models / name / "model.onnx", seed=seed, scale=40.0)
    write_card(models / "missing", name="missing")
    write_card(models / "odd", name="odd")
    (models / "odd" / "model.onnx").write_bytes(b"no model")
    for name, seed in (("bare", 3), ("copy", 1)):
        (models / name).mkdir()
        write_random_model(models / name / "model.onnx", seed=seed, scale=40.0)
    (models / "text").mkdir()
    (models / "text" / "model.onnx").write_text("no model either")
    output, json_file = tmp_path / "variants.md", tmp_path / "variants.json"
    arguments = ("--models-dir", models, "--dataset", images, "--output", output, "--json", json_file)
    done = run_script("batch_evaluate_models.py", *arguments, "--latency-sample", "0")
    assert done.returncode == 0, done.stderr
    text = output.read_text()
    assert "| missing | not measured: missing |" in text
    assert "| odd | not measured: invalid |" in text
    assert "| text (no card) | not measured: invalid |" in text
    assert "| copy (no card) | not measured: the same bytes as one |" in text
    assert re.search(r"\| bare \(no card\) \| \S+% \(", text)
    assert "bare (no card)" in done.stdout
    written = json.loads(json_file.read_text())
    assert written["missing"] == {"problem": "not measured: missing"}
    clean = written["one"]["clean"]
    assert f"{clean['count']} of {clean['total']}" in next(
        line for line in text.splitlines() if line.startswith("| one")
    )
    assert "7 models on small" in done.stdout


@pytest.mark.slow
def test_script_fails_without_a_valid_model(tmp_path: Path) -> None:
    images = write_dataset(tmp_path / "small", clean=2, stego=2, negatives=0)
    write_card(tmp_path / "models" / "missing", name="missing")
    output = tmp_path / "variants.md"
    done = run_script(
        "batch_evaluate_models.py", "--models-dir", tmp_path / "models", "--dataset", images, "--output", output
    )
    assert done.returncode == 2
    assert "none of its models could be measured" in done.stderr
    assert not output.exists()

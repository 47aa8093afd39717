"""The comparison document and the script that writes it: numbers equal to independent counts, honest conclusions."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats

from starlight_exporter.analysis.comparison import SLICES, Comparison, Flips, PairedSlice
from starlight_exporter.analysis.stream_effects import AblationStudy
from starlight_exporter.detector.contract import Stream
from starlight_exporter.publish.documents.baseline_comparison import (
    Judged,
    OnDataset,
    conclusion,
    decide,
    document,
    insight,
)
from starlight_exporter.publish.documents.markdown import table
from starlight_exporter.statistics.hypothesis_tests import mcnemar_p_value
from starlight_exporter.statistics.intervals import Interval
from support.images import write_dataset
from support.models import write_constant_model, write_random_model
from support.snapshots import ABLATION, full_evaluation

ROOT = Path(__file__).resolve().parents[3]


def run_script(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "compare_baselines.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "180"})


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    old = write_random_model(folder / "old" / "model.onnx", seed=3, scale=40.0, streams=("lsb", "format", "meta"))
    return old, write_random_model(folder / "new" / "model.onnx", seed=4, scale=40.0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "drawn", clean=40, stego=40, negatives=12)


def rows_of(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def test_the_script_writes_what_an_independent_count_gives(
    models: tuple[Path, Path], dataset: Path, tmp_path: Path
) -> None:
    output, results = tmp_path / "comparison.md", tmp_path / "results"
    arguments = ("--baseline", models[0], "--candidate", models[1], "--dataset", dataset, "--latency-sample", "0")
    rules = ("--baseline-decision", "plain", "--candidate-decision", "plain")
    done = run_script(*arguments, *rules, "--output", output, "--results", results)
    assert done.returncode == 0, done.stderr
    before, after = rows_of(results / "old_predictions.csv"), rows_of(results / "new_predictions.csv")
    assert before.keys() == after.keys()
    text = output.read_text()
    for label in ("clean", "stego"):
        right = {True: "stego", False: "clean"}[label == "stego"]
        pairs = [(before[path]["verdict"] == right, after[path]["verdict"] == right) for path in before]
        chosen = [pair for pair, path in zip(pairs, before, strict=True) if before[path]["label"] == label]
        fixed, broken = chosen.count((False, True)), chosen.count((True, False))
        p = stats.binomtest(fixed, fixed + broken).pvalue if fixed + broken else None
        shown = "–" if p is None else "&lt;0.001" if p < 0.001 else f"{p:.3f}"
        assert f"| drawn, {label} | {len(chosen)} | {fixed} | {broken} | {shown} |" in text
    positive = sum(row["verdict"] == "stego" for row in after.values() if row["label"] == "clean")
    assert re.search(rf"\| false positive rate \| .* \| .*; {positive} of 40\) \|", text)
    assert "not read by the model" not in text
    assert json.loads((results / "comparison.json").read_text())[0]["against"] == "old"
    assert {path.name for path in results.iterdir()} == {
        "old_predictions.csv",
        "new_predictions.csv",
        "old_metrics.json",
        "new_metrics.json",
        "comparison.json",
    }


@pytest.mark.parametrize("missing", ["clean", "stego"])
def test_a_class_that_is_missing_is_not_measured(models: tuple[Path, Path], tmp_path: Path, missing: str) -> None:
    root = write_dataset(
        tmp_path / "part", clean=0 if missing == "clean" else 1, stego=0 if missing == "stego" else 1, negatives=0
    )
    output = tmp_path / "comparison.md"
    done = run_script(
        *("--baseline", models[0], "--candidate", models[1], "--dataset", root, "--latency-sample", "0"),
        *("--output", output, "--results", tmp_path / "results"),
    )
    assert done.returncode == 0, done.stderr
    row = "false positive rate" if missing == "clean" else "detection, all methods"
    assert f"| {row} | not measured | not measured | not measured |" in output.read_text()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (("--candidate-decision", "plain"), "the decision rules differ"),
        (("--candidate", "SAME"), "are the same model file"),
        (("--dataset", "/nowhere"), "/nowhere: no such dataset folder"),
        (("--candidate", "/nowhere.onnx"), "/nowhere.onnx: no such model file"),
    ],
)
def test_mistakes_are_one_line_and_leave_no_file(
    models: tuple[Path, Path], dataset: Path, tmp_path: Path, changes: tuple[str, ...], text: str
) -> None:
    output, results = tmp_path / "comparison.md", tmp_path / "results"
    given: list[str | Path] = [models[0] if change == "SAME" else change for change in changes]
    done = run_script(
        *("--baseline", models[0], "--candidate", models[1], "--dataset", dataset, "--latency-sample", "0"),
        *("--output", output, "--results", results, *given),
    )
    assert done.returncode == 2
    (told,) = (line for line in done.stderr.splitlines() if line.startswith("compare_baselines: "))
    assert text in told
    assert "Traceback" not in done.stderr
    assert not output.exists()
    assert not results.exists()


def slice_of(name: str, fixed: int, broken: int) -> Judged:
    p = mcnemar_p_value(fixed, broken)
    return Judged("reference", name, PairedSlice(100, fixed, broken, p), p)


def test_the_conclusion_follows_from_the_tests() -> None:
    better, worse, chance = slice_of("lsb", 20, 1), slice_of("clean", 0, 9), slice_of("alpha", 3, 2)
    assert decide([better, chance]) == "better"
    assert decide([worse, chance]) == "worse"
    assert decide([better, worse]) == "mixed"
    assert decide([chance, slice_of("eoi", 0, 0)]) == "undecided"
    assert conclusion([better, chance], "v3", "v4").startswith("v4 is better than v3: lsb (reference)")
    assert "do not decide" in conclusion([chance], "v3", "v4")
    assert "do not decide" in conclusion([better, worse], "v3", "v4")


def test_a_change_is_shown_with_the_digits_of_its_rates() -> None:
    old = full_evaluation(model="v3", false_positives=3, clean_images=25_000)
    new = full_evaluation(model="v4", false_positives=4, clean_images=25_000)
    slices = {name: PairedSlice(25_000, 1, 2, 1.0) for name in SLICES}
    compared = Comparison(new.id, "v3", old.id, slices, not_comparable=0)
    text = document([OnDataset(old, new, compared, Flips((), (), (), 0))], None)
    lines = [line.removeprefix("| ").split(" | ") for line in text.splitlines()]
    rows = {cells[0]: cells[1:5] for cells in lines if len(cells) == 6}
    assert rows["false positive rate"][0].startswith("0.012%")
    assert rows["false positive rate"][1].startswith("0.016%")
    assert rows["false positive rate"][2:] == ["+0.004 pp", "worse"]
    assert rows["detection, all methods"][2] == "+0.00 pp"


def without_a_stream(*increases: Interval | None) -> AblationStudy:
    """A study of one stream per increase of the log loss, most harmful first."""
    (lsb, _) = ABLATION.ablation.effects
    names: tuple[Stream, ...] = ("lsb", "pixel", "meta")
    effects = tuple(replace(lsb, stream=names[place], log_loss_increase=one) for place, one in enumerate(increases))
    return replace(ABLATION, ablation=replace(ABLATION.ablation, effects=effects))


def test_a_model_leans_on_a_stream_only_where_its_loss_is_told_apart_from_chance() -> None:
    chance, shrinks, alone = Interval(0.02, -0.01, 0.05), Interval(-0.3, -0.4, -0.2), Interval(0.5, None, None)
    leans = "It leans most on the stream `{}`: without it the log loss grows by {} nats."
    assert leans.format("lsb", "0.400") in insight([], without_a_stream(Interval(0.4, 0.35, 0.45), chance))
    # The largest growth is of few images, the next one is certain.
    certain = without_a_stream(Interval(0.5, -0.1, 1.1), Interval(0.3, 0.2, 0.4))
    assert leans.format("pixel", "0.300") in insight([], certain)
    for study in (without_a_stream(chance, shrinks), without_a_stream(shrinks), without_a_stream(alone)):
        told = insight([], study)
        assert "leans" not in told
        assert "No stream is shown to be needed" in told
    assert "stream" not in insight([], without_a_stream(None))
    assert "stream" not in insight([], None)


def test_cells_cannot_break_a_table() -> None:
    assert table(("a", "b"), [("x|y", "<b>")]) == "| a | b |\n| --- | ---: |\n| x\\|y | &lt;b> |"


def test_a_model_that_always_says_the_same_is_compared_too(
    models: tuple[Path, Path], dataset: Path, tmp_path: Path
) -> None:
    constant = write_constant_model(tmp_path / "constant.onnx", logit=-4.0)
    done = run_script(
        *("--baseline", constant, "--candidate", models[1], "--dataset", dataset, "--latency-sample", "0"),
        *("--output", tmp_path / "c.md", "--results", tmp_path / "results"),
    )
    assert done.returncode == 0, done.stderr
    assert "# constant against new" in (tmp_path / "c.md").read_text()

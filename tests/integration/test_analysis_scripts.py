"""The analyses as people run them: shipped models on a synthesised dataset, and counts made without the product."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from scipy import stats

from exporter.detector.contract import BIT_ORDER_INPUT, BIT_ORDER_VALUE, INPUT_STREAMS, METHODS, STREAMS
from exporter.detector.decision import PRODUCTION_THRESHOLDS
from exporter.detector.streams import decode, tensors

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
CLEAN, STEGO, NEGATIVES = 30, 50, 15


@dataclass(frozen=True)
class Image:
    path: str
    label: str
    method: str
    streams: Mapping[str, Any]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "images"
    made = run(
        "make_dataset.py", "--out", root, "--seed", 77, "--clean", CLEAN, "--stego", STEGO, "--negatives", NEGATIVES
    )
    assert made.returncode == 0, made.stderr
    return root


@pytest.fixture(scope="module")
def images(dataset: Path) -> list[Image]:
    found = []
    folders = [dataset / label for label in ("clean", "stego", "negatives")]
    for file in sorted(path for folder in folders for path in folder.rglob("*.*") if path.suffix != ".json"):
        label = file.relative_to(dataset).parts[0]
        method = next((name for name in METHODS if f"_{name}_" in file.name), "") if label == "stego" else ""
        streams = {str(name): value for name, value in tensors(decode(file.read_bytes())).items()}
        found.append(Image(str(file.relative_to(dataset)), label, method, streams))
    assert len(found) == CLEAN + STEGO + NEGATIVES
    return found


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "220"})


def verdicts(model: Path, images: list[Image], without: str | None = None) -> dict[str, bool]:
    """Path → stego or not, by the plain runtime on the whole model and the production thresholds written out."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    result = {}
    for image in images:
        feeds = {}
        for node in session.get_inputs():
            if node.name == BIT_ORDER_INPUT:
                feeds[node.name] = np.array([BIT_ORDER_VALUE], np.float32)
                continue
            stream = INPUT_STREAMS[node.name]
            # Older models take the first alpha plane alone.
            value = np.asarray(image.streams[stream], np.float32)[: node.shape[1]][None]
            feeds[node.name] = np.zeros_like(value) if stream == without else value
        logit, methods = session.run(["stego_logits", "method_logits"], feeds)
        threshold = PRODUCTION_THRESHOLDS[METHODS[int(np.argmax(methods))]]
        result[image.path] = bool(1.0 / (1.0 + np.exp(-np.float64(np.ravel(logit)[0]))) > threshold)
    return result


def positives(found: Mapping[str, bool], images: list[Image], chosen: Callable[[Image], bool]) -> int:
    return sum(found[image.path] for image in images if chosen(image))


def test_the_comparison_says_what_the_models_say(dataset: Path, images: list[Image], tmp_path: Path) -> None:
    output, results = tmp_path / "comparison.md", tmp_path / "results"
    done = run(
        *("compare_baselines.py", "--baseline", MODELS / "v3" / "model.onnx"),
        *("--candidate", MODELS / "v4" / "model.onnx", "--dataset", dataset, "--latency-sample", 60),
        *("--output", output, "--results", results),
    )
    assert done.returncode == 0, done.stderr
    text = output.read_text()
    before, after = (verdicts(MODELS / name / "model.onnx", images) for name in ("v3", "v4"))
    for name, found in (("v3", before), ("v4", after)):
        with (results / f"{name}_predictions.csv").open(newline="") as file:
            table = {row["path"]: row["verdict"] == "stego" for row in csv.DictReader(file)}
        assert table == found
    for method in METHODS:
        chosen = [image.path for image in images if image.method == method]
        fixed = sum(after[path] and not before[path] for path in chosen)
        broken = sum(before[path] and not after[path] for path in chosen)
        p = stats.binomtest(fixed, fixed + broken).pvalue if fixed + broken else None
        shown = "no flip" if p is None else "under 0.0001" if p < 0.0001 else f"{p:.4f}"
        assert f"| images, {method} | {len(chosen)} | {fixed} | {broken} | {shown} |" in text
    negatives = [positives(found, images, lambda image: image.label == "negatives") for found in (before, after)]
    row = re.search(r"\| false positives, all negatives \| .*; (\d+) of 15\) \| .*; (\d+) of 15\) \|", text)
    assert row is not None
    assert [int(count) for count in row.groups()] == negatives
    # Two timings without a test are not called better or worse.
    (latency,) = (line for line in text.splitlines() if line.startswith("| latency p95 |"))
    assert latency.endswith("| not tested |")
    assert "better" not in latency
    assert "worse" not in latency
    assert "## What each stream is worth to v4 on images" in text
    lost = [image.path for image in images if image.label == "stego" and after[image.path] != before[image.path]]
    assert all(f"`{path}`" in text for path in lost)


def test_the_ablation_is_what_zeroed_inputs_give(dataset: Path, images: list[Image], tmp_path: Path) -> None:
    model, output = MODELS / "v3" / "model.onnx", tmp_path / "ablation.json"
    done = run("ablation_study.py", "--model", model, "--dataset", dataset, "--output", output)
    assert done.returncode == 0, done.stderr
    effects = {effect["stream"]: effect for effect in json.loads(output.read_text())["ablation"]["effects"]}
    assert set(effects) == set(STREAMS)
    declared = {INPUT_STREAMS.get(node.name) for node in onnxruntime.InferenceSession(str(model)).get_inputs()}
    for stream, effect in effects.items():
        if stream not in declared:
            assert effect["state"] == "absent"
            continue
        changed = sum(bool(np.any(image.streams[stream])) for image in images)
        assert effect["changed"]["count"] == changed
        without = verdicts(model, images, without=stream)
        assert effect["clean"]["count"] == positives(without, images, lambda image: image.label == "clean")
        assert effect["stego"]["count"] == positives(without, images, lambda image: image.label == "stego")


def test_the_variants_are_what_each_model_says(dataset: Path, images: list[Image], tmp_path: Path) -> None:
    models = tmp_path / "models"
    for name in ("v3", "v4_int8"):
        shutil.copytree(MODELS / name, models / name)
    # A copy with its card unchanged says the name of another; a broken one is a row that says so.
    shutil.copytree(MODELS / "v3", models / "copy")
    shutil.copytree(MODELS / "v3", models / "torn")
    (models / "torn" / "model.onnx").write_bytes(b"not a model")
    output, figures = tmp_path / "variants.md", tmp_path / "variants.json"
    done = run(
        *("batch_evaluate_models.py", "--models-dir", models, "--dataset", dataset, "--latency-sample", 0),
        *("--output", output, "--json", figures),
    )
    assert done.returncode == 0, done.stderr
    records, text = json.loads(figures.read_text()), output.read_text()
    assert set(records) == {"copy", "torn", "v3", "v4_int8"}
    for name in ("copy", "v3", "v4_int8"):
        found = verdicts(models / name / "model.onnx", images)
        for method in METHODS:
            counted = positives(found, images, lambda image, method=method: image.method == method)  # type: ignore[misc]
            assert records[name]["detections"][method]["count"] == counted
        assert f"| {name} |" in text
        assert name in done.stdout
    assert "invalid" in records["torn"]["problem"]
    (row,) = (line for line in text.splitlines() if line.startswith("| torn |"))
    assert "not measured: invalid" in row


def test_datasets_of_one_folder_name_do_not_overwrite_each_other(dataset: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "images"
    made = run("make_dataset.py", "--out", other, "--seed", 78, "--clean", 6, "--stego", 5, "--negatives", 0)
    assert made.returncode == 0, made.stderr
    results = tmp_path / "results"
    pair = ("--baseline", MODELS / "v3" / "model.onnx", "--candidate", MODELS / "v4" / "model.onnx")
    rest = ("--latency-sample", 0, "--output", tmp_path / "c.md", "--results", results)
    done = run("compare_baselines.py", *pair, "--dataset", other, "--dataset", dataset, *rest)
    assert done.returncode == 0, done.stderr
    first = (results / "v4_predictions.csv").read_text().splitlines()
    second = (results / "v4_images-2_predictions.csv").read_text().splitlines()
    assert (len(first), len(second)) == (1 + 11, 1 + CLEAN + STEGO + NEGATIVES)
    assert "v4 on images-2" in (tmp_path / "c.md").read_text()
    twice = run("compare_baselines.py", *pair, "--dataset", other, "--dataset", other, *rest)
    assert (twice.returncode, twice.stderr) == (2, f"compare_baselines: {other}: given twice\n")


def test_a_model_against_itself_is_refused_before_anything_is_measured(dataset: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy" / "model.onnx"
    copy.parent.mkdir()
    shutil.copy(MODELS / "v3" / "model.onnx", copy)
    done = run(
        *("compare_baselines.py", "--baseline", MODELS / "v3" / "model.onnx", "--candidate", copy),
        *("--dataset", dataset, "--output", tmp_path / "c.md", "--results", tmp_path / "results"),
    )
    # No progress bar, no file: nothing was evaluated.
    told = f"{MODELS / 'v3' / 'model.onnx'} and {copy} are the same model file"
    assert (done.returncode, done.stderr) == (2, f"compare_baselines: {told}\n")
    assert not (tmp_path / "results").exists()

"""Research models that are added to the models folder and removed, with shipped models and synthetic images."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.exporter import Exporter, write_config_of_shipped_models
from support.run_cache import RunCache
from support.scripts import run_script

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def images(run_cache: RunCache) -> Path:
    return run_cache.synthetic(seed=52, clean=30, stego=50, negatives=10)


@pytest.fixture
def exporter(tmp_path: Path, images: Path) -> Iterator[Exporter]:
    for name in ("production", "v3"):
        shutil.copytree(ROOT / "models" / name, tmp_path / "models" / name)
    config = write_config_of_shipped_models(tmp_path, images)
    with Exporter(config) as process:
        process.wait_for_value(30.0, "clean_images", model="v3")
        yield process


def test_added_model_is_evaluated_and_compared_until_it_is_removed(exporter: Exporter, tmp_path: Path) -> None:
    assert exporter.value("model_info", model="v4_int8") is None
    shutil.copytree(ROOT / "models" / "v4_int8", tmp_path / "models" / "v4_int8")
    exporter.wait_for_value(30.0, "clean_images", model="v4_int8")
    assert exporter.value("model_info", model="v4_int8", role="research") == 1
    # The command returns the same result for the same file and images.
    detected = exporter.value("detections", model="v4_int8", method="palette")
    assert detected == count_detections(tmp_path / "models" / "v4_int8" / "model.onnx", exporter, "palette")
    compared = {"model": "v4_int8", "against": "v3", "class": "palette"}
    exporter.wait_for_value(10.0, "comparison_images", **compared)
    document = tmp_path / "results" / "documents" / "model_variants_small.md"
    exporter.wait_until(lambda: "| v4_int8 |" in document.read_text(), "the model in the document")
    production = exporter.value("evaluation_timestamp_seconds", model="production")

    shutil.rmtree(tmp_path / "models" / "v4_int8")
    exporter.wait_until(lambda: exporter.value("model_info", model="v4_int8") is None, "the removal of the model")
    assert exporter.value("clean_images", model="v4_int8") is None
    assert exporter.value("clean_images", model="v3") == 30.0
    exporter.wait_until(lambda: "| v4_int8 |" not in document.read_text(), "the document without the model")
    assert exporter.value("evaluation_timestamp_seconds", model="production") == production


def test_reload_keeps_discovered_models(exporter: Exporter, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "models" / "v4_int8", tmp_path / "models" / "v4_int8")
    exporter.wait_for_value(30.0, "clean_images", model="v4_int8")
    measured = exporter.value("evaluation_timestamp_seconds", model="v4_int8")
    assert httpx.post(f"{exporter.url}/-/reload").status_code == 200
    assert exporter.value("evaluation_timestamp_seconds", model="v4_int8") == measured


def test_card_without_a_model_is_a_load_failure(exporter: Exporter, tmp_path: Path) -> None:
    (tmp_path / "models" / "to-come").mkdir()
    (tmp_path / "models" / "to-come" / "card.yml").write_text("title: to come\n")
    exporter.wait_for_value(0.0, "model_last_load_successful", model="to-come")
    shutil.copy(ROOT / "models" / "v4_int8" / "model.onnx", tmp_path / "models" / "to-come" / "model.onnx")
    exporter.wait_for_value(30.0, "clean_images", model="to-come")


def count_detections(model: Path, exporter: Exporter, method: str) -> float:
    """Count the detected stego files of a method in the predictions of the command."""
    table = model.with_name("predictions.csv")
    run_script(
        *("monitor_performance.py", "--model", model, "--dataset", dataset_of(exporter), "--latency-sample", "0"),
        *("--decision", "plain", "--output", model.with_name("metrics.json"), "--predictions", table),
    )
    rows = [line.split(",") for line in table.read_text().splitlines()]
    verdict, of = rows[0].index("verdict"), rows[0].index("method")
    return float(sum(row[of] == method and row[verdict] == "stego" for row in rows[1:]))


def dataset_of(exporter: Exporter) -> str:
    config = (exporter.log.parent / "starlight.yml").read_text()
    return next(line.split("path: ")[1] for line in config.splitlines() if "path: " in line)

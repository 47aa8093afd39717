"""A deployed copy that inherits what is known of its bytes, and bare files that arrive. Shipped models, real images."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import httpx
import onnx
import pytest

from starlight_exporter.dataset.layout import scan
from starlight_exporter.errors import MODEL_FAILURE_REASONS
from starlight_exporter.models.training_files import manifest_text
from support.exporter import Exporter, write_config_of_shipped_models
from support.run_cache import RunCache

pytestmark = [pytest.mark.integration, pytest.mark.slow]

MODELS = Path(__file__).resolve().parents[2] / "models"
CARDED = ("v3", "v4")
LEAKED = {"v3": 3, "v4": 7}
CLEAN = 30
SETTLE_SECONDS = 2


@pytest.fixture(scope="module")
def images(run_cache: RunCache) -> Path:
    return run_cache.synthetic(seed=52, clean=CLEAN, stego=50, negatives=10)


@pytest.fixture
def models(tmp_path: Path, images: Path) -> Path:
    """Two shipped models that have seen some of the images, and a copy of one of them in production."""
    folder = tmp_path / "models"
    files = scan("drawn", images).files
    for name in CARDED:
        shutil.copytree(MODELS / name, folder / name)
        (folder / name / "training_files.sha256").write_text(manifest_text(files[: LEAKED[name]]))
    (folder / "production").mkdir()
    shutil.copy(folder / "v4" / "model.onnx", folder / "production" / "model.onnx")
    return folder


@pytest.fixture
def exporter(images: Path, models: Path) -> Iterator[Exporter]:
    watch = {"interval": "200ms", "settle": f"{SETTLE_SECONDS}s"}
    config = write_config_of_shipped_models(models.parent, images, watch=watch)
    with Exporter(config) as process:
        process.wait_for_value(CLEAN, "clean_images", model="v4")
        yield process


def test_what_is_known_of_production_changes_with_its_bytes(exporter: Exporter, models: Path) -> None:
    assert_known_as(exporter, models, "v4")

    deploy(models, (models / "v3" / "model.onnx").read_bytes())
    exporter.wait_for_value(1.0, "evaluation_info", model="production", card="v3")
    assert_known_as(exporter, models, "v3")

    deploy(models, unknown_bytes(models / "v4" / "model.onnx"))
    exporter.wait_until(lambda: exporter.value("training_epochs", model="production") is None, "no training log")
    assert exporter.value("evaluation_info", model="production", card="") == 1.0
    assert exporter.value("clean_images", model="production") == CLEAN
    assert exporter.value("dataset_leaked_images", model="production") is None
    assert "no training log beside the model" in page(exporter, "/training?model=production")
    # Nobody else has forgotten anything.
    assert exporter.value("dataset_leaked_images", model="v4") == LEAKED["v4"]


def test_a_bare_file_is_evaluated_on_arrival_and_forgotten_on_removal(
    exporter: Exporter, models: Path, tmp_path: Path
) -> None:
    arrived = models / "try" / "model.onnx"
    arrived.parent.mkdir()
    arrived.write_bytes(unknown_bytes(models / "v4" / "model.onnx"))
    exporter.wait_for_value(CLEAN, "clean_images", model="try")
    assert exporter.value("model_info", model="try", role="research", decision="probability > 0.5") == 1.0
    assert exporter.value("evaluation_info", model="try", card="") == 1.0
    # The same network under another name says the same.
    assert exporter.value("false_positives", model="try") == exporter.value("false_positives", model="v4")
    exporter.wait_until(
        lambda: exporter.value("comparison_images", model="try", against="v3", **{"class": "palette"}) is not None,
        "the comparison with the baseline",
    )
    variants = tmp_path / "results" / "documents" / "model_variants_drawn.md"
    exporter.wait_until(lambda: "| try (no card) |" in variants.read_text(), "the model in the document")
    text = variants.read_text()
    assert "| v4 |" in text
    assert "- **production**: the same bytes as v4: all eight streams" in text

    shutil.rmtree(arrived.parent)
    exporter.wait_until(lambda: exporter.value("model_info", model="try") is None, "the model gone")
    exporter.wait_until(lambda: "try" not in variants.read_text(), "the document without the model")


def test_a_half_written_file_waits_and_what_is_no_model_says_so(
    exporter: Exporter, models: Path, tmp_path: Path
) -> None:
    before = exporter.value("evaluation_timestamp_seconds", model="production")
    content = unknown_bytes(models / "v4" / "model.onnx")
    (models / "slow").mkdir()
    (models / "text").mkdir()
    (models / "text" / "model.onnx").write_text("not a model")
    with (models / "slow" / "model.onnx").open("wb", buffering=0) as file:
        write_slowly(file, content, until=lambda: exporter.value("model_info", model="slow") is not None)
        # The exporter knows of it now, and it is not complete for longer than a run would take to begin.
        ends = time.monotonic() + 4.0
        write_slowly(file, content, until=lambda: time.monotonic() > ends)
        file.write(content[file.tell() :])
    exporter.wait_for_value(CLEAN, "clean_images", model="slow")
    assert exporter.value("model_last_load_successful", model="slow") == 1.0
    assert {exporter.value("model_load_failures_total", model="slow", reason=r) for r in MODEL_FAILURE_REASONS} == {0.0}

    exporter.wait_for_value(0.0, "model_last_load_successful", model="text")
    assert exporter.value("model_load_failures_total", model="text", reason="invalid") == 1.0
    assert exporter.value("clean_images", model="text") is None
    variants = tmp_path / "results" / "documents" / "model_variants_drawn.md"
    exporter.wait_until(
        lambda: "| text | not measured: its file cannot be loaded, invalid |" in variants.read_text(), "the row"
    )
    assert exporter.value("evaluation_timestamp_seconds", model="production") == before
    assert exporter.value("model_last_load_successful", model="production") == 1.0


def test_a_half_file_is_replaced_by_the_whole_one(exporter: Exporter, models: Path) -> None:
    content = unknown_bytes(models / "v4" / "model.onnx")
    file = models / "cut" / "model.onnx"
    file.parent.mkdir()
    file.write_bytes(content[: len(content) // 2])
    exporter.wait_for_value(0.0, "model_last_load_successful", model="cut")
    file.write_bytes(content)
    exporter.wait_for_value(CLEAN, "clean_images", model="cut")
    assert exporter.value("model_last_load_successful", model="cut") == 1.0


def deploy(models: Path, content: bytes) -> None:
    """Put a file into production in one step."""
    new = models / "new.onnx"
    new.write_bytes(content)
    os.replace(new, models / "production" / "model.onnx")  # noqa: PTH105  # rename(2), as a deployment does


def unknown_bytes(file: Path) -> bytes:
    """The same network in a file that no card knows."""
    model = onnx.load(file)
    model.doc_string = "deployed from elsewhere"
    content: bytes = model.SerializeToString()
    return content


def write_slowly(file: BinaryIO, content: bytes, *, until: Callable[[], bool]) -> None:
    """Append some bytes of the content again and again, at shorter intervals than a complete file has to rest."""
    while not until():
        start = file.tell()
        file.write(content[start : start + 2048])
        assert file.tell() < len(content)
        time.sleep(SETTLE_SECONDS / 20)


def assert_known_as(exporter: Exporter, models: Path, name: str) -> None:
    last = json.loads((models / name / "training_log.jsonl").read_text().splitlines()[-1])
    assert exporter.value("training_loss", model="production", split="validation") == last["validation_loss"]
    assert exporter.value("training_epochs", model="production") == last["epoch"]
    assert exporter.value("dataset_leaked_images", model="production") == LEAKED[name]
    assert exporter.value("evaluation_info", model="production", card=name) == 1.0
    told = rf"The training of {name} \(.+\), whose file has the same bytes\."
    assert re.search(told, page(exporter, "/training?model=production"))
    ended = (run for run in runs(exporter) if run["model"] == "production" and run["outcome"] == "success")
    newest = max(ended, key=lambda run: float(run["started_at"]))
    assert f"the same bytes as {name}: " in page(exporter, f"/evaluations/{newest['id']}")


def runs(exporter: Exporter) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (
        httpx.get(f"{exporter.url}/api/v1/evaluations").raise_for_status().json()["evaluations"]
    )
    return found


def page(exporter: Exporter, path: str) -> str:
    return httpx.get(f"{exporter.url}{path}").raise_for_status().text

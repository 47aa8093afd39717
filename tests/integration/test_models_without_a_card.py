"""Models in the models folder: a deployed copy of a model with a card, files without a card, a card without a file."""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
WITH_CARD = ("v3", "v4")
LEAKED = {"v3": 3, "v4": 7}
CLEAN = 30
SETTLE_SECONDS = 2


@pytest.fixture(scope="module")
def images(run_cache: RunCache) -> Path:
    return run_cache.synthetic(seed=52, clean=CLEAN, stego=50, negatives=10)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Path:
    """Return a folder with two models that were trained on some of the images, and a copy of one in production."""
    folder = tmp_path_factory.mktemp("exporter") / "models"
    files = scan("small", images).files
    for name in WITH_CARD:
        shutil.copytree(MODELS / name, folder / name)
        (folder / name / "training_files.sha256").write_text(manifest_text(files[: LEAKED[name]]))
    (folder / "production").mkdir()
    shutil.copy(folder / "v4" / "model.onnx", folder / "production" / "model.onnx")
    return folder


@pytest.fixture(scope="module")
def exporter(images: Path, models: Path) -> Iterator[Exporter]:
    """Return an exporter for all tests: each removes its models, and leaves v4 in production."""
    watch = {"interval": "200ms", "settle": f"{SETTLE_SECONDS}s"}
    config = write_config_of_shipped_models(models.parent, images, watch=watch)
    with Exporter(config) as process:
        process.wait_for_value(CLEAN, "clean_images", model="v4")
        yield process


def test_production_has_card_and_training_log_of_the_identical_model(exporter: Exporter, models: Path) -> None:
    assert_known_as(exporter, models, "v4")

    deploy(models, (models / "v3" / "model.onnx").read_bytes())
    exporter.wait_for_value(1.0, "evaluation_info", model="production", card="v3")
    assert_known_as(exporter, models, "v3")

    deploy(models, unknown_bytes(models / "v4" / "model.onnx"))
    exporter.wait_until(lambda: exporter.value("training_epochs", model="production") is None, "no training log")
    assert exporter.value("evaluation_info", model="production", card="") == 1.0
    assert exporter.value("clean_images", model="production") == CLEAN
    assert exporter.value("dataset_leaked_images", model="production") is None
    assert "no training log next to the model file" in page(exporter, "/training?model=production")
    # Other models are not affected.
    assert exporter.value("dataset_leaked_images", model="v4") == LEAKED["v4"]

    deploy(models, (models / "v4" / "model.onnx").read_bytes())
    exporter.wait_for_value(1.0, "evaluation_info", model="production", card="v4")


def test_added_file_is_evaluated_until_it_is_removed(exporter: Exporter, models: Path) -> None:
    arrived = models / "try" / "model.onnx"
    arrived.parent.mkdir()
    arrived.write_bytes(unknown_bytes(models / "v4" / "model.onnx"))
    exporter.wait_for_value(CLEAN, "clean_images", model="try")
    assert exporter.value("model_info", model="try", role="research", decision="probability > 0.5") == 1.0
    assert exporter.value("evaluation_info", model="try", card="") == 1.0
    # The same network has the same result under another name.
    assert exporter.value("false_positives", model="try") == exporter.value("false_positives", model="v4")
    exporter.wait_until(
        lambda: exporter.value("comparison_images", model="try", against="v3", **{"class": "palette"}) is not None,
        "the comparison with the baseline",
    )
    variants = models.parent / "results" / "documents" / "model_variants_small.md"
    exporter.wait_until(lambda: "| try (no card) |" in variants.read_text(), "the model in the document")
    text = variants.read_text()
    assert "| v4 |" in text
    assert "- **production**: the same bytes as v4: all eight streams" in text

    remove(exporter, models, "try")
    exporter.wait_until(lambda: "try" not in variants.read_text(), "the document without the model")


def test_file_that_is_being_written_is_not_loaded_and_invalid_file_is_reported(
    exporter: Exporter, models: Path
) -> None:
    before = exporter.value("evaluation_timestamp_seconds", model="production")
    content = unknown_bytes(models / "v4" / "model.onnx")
    (models / "slow").mkdir()
    (models / "text").mkdir()
    (models / "text" / "model.onnx").write_text("not a model")
    with written_slowly(models / "slow" / "model.onnx", content):
        # The invalid file was added at the same time and has been loaded: the incomplete one could have been as well.
        exporter.wait_for_value(0.0, "model_last_load_successful", model="text")
        assert exporter.value("model_info", model="slow") is not None
    exporter.wait_for_value(CLEAN, "clean_images", model="slow")
    assert exporter.value("model_last_load_successful", model="slow") == 1.0
    assert {exporter.value("model_load_failures_total", model="slow", reason=r) for r in MODEL_FAILURE_REASONS} == {0.0}

    assert exporter.value("model_load_failures_total", model="text", reason="invalid") == 1.0
    assert exporter.value("clean_images", model="text") is None
    variants = models.parent / "results" / "documents" / "model_variants_small.md"
    exporter.wait_until(
        lambda: "| text | not measured: its file cannot be loaded, invalid |" in variants.read_text(), "the row"
    )
    assert exporter.value("evaluation_timestamp_seconds", model="production") == before
    assert exporter.value("model_last_load_successful", model="production") == 1.0
    remove(exporter, models, "slow", "text")


def test_truncated_file_is_replaced_by_the_complete_one(exporter: Exporter, models: Path) -> None:
    content = unknown_bytes(models / "v4" / "model.onnx")
    file = models / "cut" / "model.onnx"
    file.parent.mkdir()
    file.write_bytes(content[: len(content) // 2])
    exporter.wait_for_value(0.0, "model_last_load_successful", model="cut")
    file.write_bytes(content)
    exporter.wait_for_value(CLEAN, "clean_images", model="cut")
    assert exporter.value("model_last_load_successful", model="cut") == 1.0
    remove(exporter, models, "cut")


def test_reload_keeps_discovered_models(exporter: Exporter) -> None:
    measured = exporter.value("evaluation_timestamp_seconds", model="v4")
    assert httpx.post(f"{exporter.url}/-/reload").status_code == 200
    assert exporter.value("evaluation_timestamp_seconds", model="v4") == measured


def test_card_without_a_model_is_a_load_failure(exporter: Exporter, models: Path) -> None:
    (models / "to-come").mkdir()
    (models / "to-come" / "card.yml").write_text("title: to come\n")
    exporter.wait_for_value(0.0, "model_last_load_successful", model="to-come")
    shutil.copy(MODELS / "v4_int8" / "model.onnx", models / "to-come" / "model.onnx")
    exporter.wait_for_value(CLEAN, "clean_images", model="to-come")
    remove(exporter, models, "to-come")


def remove(exporter: Exporter, models: Path, *names: str) -> None:
    for name in names:
        shutil.rmtree(models / name)
    exporter.wait_until(
        lambda: all(exporter.value("model_info", model=name) is None for name in names), "the removal of the models"
    )


def deploy(models: Path, content: bytes) -> None:
    """Replace the production model atomically."""
    new = models / "new.onnx"
    new.write_bytes(content)
    os.replace(new, models / "production" / "model.onnx")  # noqa: PTH105  # rename(2), as a deployment does


def unknown_bytes(file: Path) -> bytes:
    """Return the same network with another SHA-256, which no card has."""
    model = onnx.load(file)
    model.doc_string = "deployed from elsewhere"
    content: bytes = model.SerializeToString()
    return content


@contextmanager
def written_slowly(path: Path, content: bytes) -> Iterator[None]:
    """Write a file during the block, at intervals shorter than the settling time, and complete it at the end."""
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(SETTLE_SECONDS / 20):
            file.write(content[file.tell() : file.tell() + 256])

    with path.open("wb", buffering=0) as file:
        writer = threading.Thread(target=write)
        writer.start()
        try:
            yield
        finally:
            stop.set()
            writer.join()
        assert file.tell() < len(content)
        file.write(content[file.tell() :])


def assert_known_as(exporter: Exporter, models: Path, name: str) -> None:
    last = json.loads((models / name / "training_log.jsonl").read_text().splitlines()[-1])
    assert exporter.value("training_loss", model="production", split="validation") == last["validation_loss"]
    assert exporter.value("training_epochs", model="production") == last["epoch"]
    assert exporter.value("dataset_leaked_images", model="production") == LEAKED[name]
    assert exporter.value("evaluation_info", model="production", card=name) == 1.0
    note = rf"Training of {name} \(.+\), whose model file has the same SHA-256\."
    assert re.search(note, page(exporter, "/training?model=production"))
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

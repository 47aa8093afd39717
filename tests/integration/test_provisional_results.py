"""A large dataset in a real exporter: provisional result within seconds, then the complete result."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from starlight_exporter.detector.model_file import model_sha256
from support.exporter import Exporter, write_config
from support.images import write_dataset
from support.models import write_constant_model

pytestmark = pytest.mark.integration

COPIES = 100
"""Hard links of each of 24 images: more than the 2,000 that are always evaluated in one phase."""
PAIR = {"model": "production", "dataset": "small"}


def link_many(source: Path, root: Path) -> int:
    """Write a dataset in which every file of `source` occurs COPIES times; return the number of files."""
    files = [file for file in source.rglob("*") if file.is_file()]
    for file in files:
        folder = root / file.parent.relative_to(source)
        folder.mkdir(parents=True, exist_ok=True)
        for copy in range(COPIES):
            os.link(file, folder / f"{copy:03}_{file.name}")
    return len(files) * COPIES


def test_provisional_result_is_published_before_the_complete_one_replaces_it(tmp_path: Path) -> None:
    images = link_many(write_dataset(tmp_path / "source"), tmp_path / "images")
    models = tmp_path / "models"
    models.mkdir()
    # Detects everything, as the baseline does; then nothing.
    write_constant_model(models / "good.onnx", logit=4.0)
    write_constant_model(models / "bad.onnx", logit=-4.0)
    shutil.copy(models / "good.onnx", models / "model.onnx")
    config = write_config(
        tmp_path,
        models=[
            {"name": "production", "file": "models/model.onnx", "role": "production"},
            {"name": "accepted", "file": "models/good.onnx", "role": "baseline"},
        ],
        latency={"sample": 200},
    )
    with Exporter(config) as exporter:
        good, bad = (model_sha256(models / f"{name}.onnx")[:12] for name in ("good", "bad"))
        before = wait_for_provisional(exporter, good)
        assert before["detection_ratio"] == 1
        # While the complete dataset is evaluated.
        shutil.copy(models / "bad.onnx", models / ".next")
        (models / ".next").replace(models / "model.onnx")
        found = wait_for_provisional(exporter, bad)
        assert found["detection_ratio"] == 0
        assert found["dataset_images"] == images
        assert 1_900 < found["images"] < 2_200
        assert found["check_significant"] == found["check_alerts"] == 1
        exporter.wait_until(lambda: exporter.value("detection_ratio", **PAIR, method="lsb") == 0, "complete result")
        assert exporter.value("provisional_images", **PAIR) is None
        assert exporter.value("regression_check_significant", **PAIR, check="detection_floor", slice="lsb") == 1
        assert exporter.value("stego_images", **PAIR, method="lsb") == 2 * COPIES


def wait_for_provisional(exporter: Exporter, sha256: str) -> dict[str, float]:
    """Return the provisional samples of a model file by name, of the method lsb and its check, once there are any."""

    def found() -> dict[str, float] | None:
        samples = {
            name.removeprefix("starlight_provisional_"): value
            for (name, pairs), value in exporter.metrics().items()
            if name.startswith("starlight_provisional_")
            for labels in (dict(pairs),)
            if labels.get("method", "lsb") == "lsb"
            and (labels.get("check", ""), labels.get("slice", "")) in (("", ""), ("detection_baseline", "lsb"))
            and labels.get("model_sha256", sha256) == sha256
        }
        return samples if "info" in samples else None

    return exporter.wait_until(found, f"provisional result of {sha256}", timeout=120.0)

"""Exporter process with models and files that hang: the model is quarantined, SIGTERM works, nothing is blocked."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from support.exporter import Exporter, write_config
from support.hostile_models import write_endless_model
from support.models import write_constant_model
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def config_with_hanging_model(folder: Path, *, image_timeout: str) -> Path:
    write_endless_model(folder / "models" / "hanging.onnx")
    return write_config(
        folder,
        models=[
            {"name": "production", "file": "models/model.onnx", "role": "production"},
            {"name": "hanging", "file": "models/hanging.onnx", "role": "research"},
        ],
        latency={"sample": 0},
        limits={"image_timeout": image_timeout, "threads": 1},
    )


def test_model_that_hangs_is_quarantined_until_its_file_changes(tmp_path: Path) -> None:
    with Exporter(config_with_hanging_model(tmp_path, image_timeout="1s")) as exporter:
        exporter.wait_for_value(1.0, "model_quarantined", model="hanging", reason="time")
        assert exporter.value("model_load_failures_total", model="hanging", reason="limits") == 1.0
        page = httpx.get(exporter.url).text
        assert "In quarantine" in page
        assert "took more than 4s to load" in page
        # A change of the dataset does not end the quarantine, a request does.
        shutil.copy(tmp_path / "images" / "clean" / "clean-0000.png", tmp_path / "images" / "clean" / "copy.png")
        exporter.wait_for_value(11.0, "clean_images", model="production")
        exporter.wait_for_value(0.0, "evaluations_queued")
        assert exporter.value("evaluations_total", model="hanging", outcome="timeout") == 1.0
        httpx.post(f"{exporter.url}/api/v1/evaluations?model=hanging").raise_for_status()
        exporter.wait_for_value(2.0, "evaluations_total", model="hanging", outcome="timeout")
        exporter.wait_for_value(1.0, "model_quarantined", model="hanging", reason="time")
        write_constant_model(tmp_path / "good.onnx", logit=1.0).replace(tmp_path / "models" / "hanging.onnx")
        exporter.wait_for_value(2.0, "detections", model="hanging", method="lsb")
        assert exporter.value("model_quarantined", model="hanging") is None


def replace_by_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def replace_by_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def replace_by_device(file: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


@pytest.mark.parametrize("damage", [replace_by_pipe, replace_by_folder, replace_by_device])
def test_model_that_is_no_file_is_unreadable_and_blocks_nothing(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    model = tmp_path / "models" / "model.onnx"
    with Exporter(write_config(tmp_path, latency={"sample": 0})) as exporter:
        exporter.wait_for_value(0.0, "detections", model="production", method="lsb")
        damage(model)
        exporter.wait_for_value(1.0, "model_load_failures_total", model="production", reason="unreadable")
        assert exporter.value("model_load_failures_total", model="production", reason="missing") == 0.0
        assert httpx.post(f"{exporter.url}/-/reload", timeout=30.0).status_code == 200
        (shutil.rmtree if model.is_dir() and not model.is_symlink() else os.unlink)(model)
        write_constant_model(model, logit=4.0)
        exporter.wait_for_value(2.0, "detections", model="production", method="lsb")
        damage(model)
        exporter.wait_for_value(2.0, "model_load_failures_total", model="production", reason="unreadable")
        assert exporter.stop() == 0


def test_pipes_in_place_of_other_files_block_nothing(tmp_path: Path) -> None:
    """Configuration, recorded baseline, model card and training log."""
    models = tmp_path / "models"
    write_constant_model(models / "odd" / "model.onnx", logit=1.0)
    (models / "odd" / "card.yml").write_text("title: odd\n")
    (models / "training_log.jsonl").write_text("")
    (tmp_path / "baseline.json").write_text("{}")
    config = write_config(tmp_path, research={"models_dir": "models"}, baseline="baseline.json", latency={"sample": 0})
    with Exporter(config) as exporter:
        exporter.wait_for_value(2.0, "detections", model="odd", method="lsb")
        for file in (
            tmp_path / "baseline.json",
            models / "odd" / "card.yml",
            models / "training_log.jsonl",
        ):
            replace_by_pipe(file)
        write_constant_model(tmp_path / "better.onnx", logit=4.0).replace(models / "model.onnx")
        exporter.wait_for_value(2.0, "detections", model="production", method="lsb")
        good = config.read_text()
        replace_by_pipe(config)
        assert httpx.post(f"{exporter.url}/-/reload", timeout=30.0).status_code == 500
        config.unlink()
        config.write_text(good)
        assert httpx.post(f"{exporter.url}/-/reload", timeout=30.0).status_code == 200
        assert exporter.stop() == 0


def test_signal_to_the_process_group_is_not_a_crash(tmp_path: Path) -> None:
    with Exporter(config_with_hanging_model(tmp_path, image_timeout="1m")) as exporter:
        exporter.wait_for_value(1.0, "evaluation_in_progress", model="hanging")
        worker = exporter.wait_until(exporter.worker, "a worker process")
        for process in (worker, exporter.process):
            process.send_signal(signal.SIGTERM)
        assert exporter.process.wait(60) == 0
        log = exporter.log.read_text()
        assert "outcome=crashed" not in log
        wait_until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)


def test_ignored_files_and_touched_images_start_no_evaluation(tmp_path: Path) -> None:
    config = write_config(tmp_path, latency={"sample": 0})
    with Exporter(config, flags=("--log.level=debug",)) as exporter:
        exporter.wait_for_value(1.0, "evaluations_total", model="production", outcome="success")
        clean = tmp_path / "images" / "clean"
        image = clean / "clean-0000.png"
        (clean / ".DS_Store").write_bytes(b"x")
        (clean / "NOTES.md").write_text("notes")
        os.utime(image)
        image.chmod(0o600)
        content = image.read_bytes()
        image.unlink()
        image.write_bytes(content)
        exporter.wait_until(lambda: "dataset scanned" in exporter.log.read_text(), "a scan of the dataset")
        (clean / "more.png").write_bytes((clean / "clean-0001.jpeg").read_bytes())
        exporter.wait_for_value(11.0, "clean_images", model="production")
        assert exporter.value("evaluations_total", model="production", outcome="success") == 2.0
        assert exporter.value("evaluations_total", model="production", outcome="cancelled") == 0.0

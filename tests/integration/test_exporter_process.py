"""Exporter process: model and dataset changes, failures, restarts, signals and HTTP."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from support.exporter import Exporter, write_config
from support.hostile_models import write_endless_model
from support.images import image_bytes
from support.models import write_constant_model, write_random_model
from support.servers import STOP_TIMEOUT

pytestmark = pytest.mark.integration

NONE_DETECTED, ALL_DETECTED = 0.0, 2.0
"""Detections of one method: the small dataset has two stego files of each."""


@pytest.fixture
def exporter(tmp_path: Path) -> Iterator[Exporter]:
    with Exporter(write_config(tmp_path)) as process:
        process.wait_for_value(NONE_DETECTED, "detections", model="production", method="lsb")
        yield process


def better_model(folder: Path) -> Path:
    return write_constant_model(folder / "better.onnx", logit=4.0)


def test_replaced_model_is_evaluated(exporter: Exporter, tmp_path: Path) -> None:
    better_model(tmp_path).replace(tmp_path / "models" / "model.onnx")
    exporter.wait_for_value(ALL_DETECTED, "detections", model="production", method="lsb")
    assert exporter.value("model_load_failures_total", model="production", reason="invalid") in (None, 0.0)
    runs = httpx.get(f"{exporter.url}/api/v1/evaluations").json()["evaluations"]
    assert [run["trigger"] for run in runs] == ["model", "start"]
    # The new file is compared with the replaced one on the same images.
    compared = {"model": "production", "against": "previous", "class": "lsb"}
    exporter.wait_for_value(ALL_DETECTED, "comparison_flips", **compared, direction="fixed")
    assert exporter.value("comparison_flips", **compared, direction="broken") == 0
    assert exporter.value("comparison_images", **compared) == ALL_DETECTED
    assert exporter.value("comparison_mcnemar_p_value", **compared) == 2 * 0.5**ALL_DETECTED
    # Reports are written after the evaluation.
    exporter.wait_for_value(2.0, "analysis_runs_total", analysis="regression", outcome="success")
    exporter.wait_for_value(2.0, "analysis_runs_total", analysis="variants", outcome="success")
    assert len(list((tmp_path / "results" / "regression_reports").glob("*.json"))) == 2
    variants = (tmp_path / "results" / "documents" / "model_variants_small.md").read_text()
    assert "| production |" in variants
    # Ablations are not configured, but their counters exist.
    assert exporter.value("analysis_runs_total", analysis="ablation", outcome="success") == 0


def test_model_that_cannot_be_loaded_keeps_the_old_result(exporter: Exporter, tmp_path: Path) -> None:
    model = tmp_path / "models" / "model.onnx"
    good = model.read_bytes()
    model.write_bytes(b"no model at all")
    exporter.wait_for_value(1.0, "model_load_failures_total", model="production", reason="invalid")
    assert exporter.value("detections", model="production", method="lsb") == NONE_DETECTED
    assert exporter.value("model_last_load_successful", model="production") == 0.0
    assert exporter.value("evaluations_total", model="production", outcome="error") == 1.0
    page = httpx.get(exporter.url).text
    assert "The new model file does not load: not a loadable ONNX model" in page, page
    model.write_bytes(good)
    exporter.wait_for_value(1.0, "model_last_load_successful", model="production")


def test_model_file_is_shown_relative_to_the_configuration(exporter: Exporter) -> None:
    assert exporter.value("model_info", model="production", file="models/model.onnx") == 1


def test_removed_model_is_reported_and_its_return_is_evaluated(exporter: Exporter, tmp_path: Path) -> None:
    model = tmp_path / "models" / "model.onnx"
    model.rename(tmp_path / "elsewhere.onnx")
    exporter.wait_for_value(1.0, "model_load_failures_total", model="production", reason="missing")
    better_model(tmp_path).rename(model)
    exporter.wait_for_value(ALL_DETECTED, "detections", model="production", method="lsb")


def test_changed_dataset_is_evaluated(exporter: Exporter, tmp_path: Path) -> None:
    assert exporter.value("clean_images", model="production") == 10.0
    (tmp_path / "images" / "clean" / "one-more.png").write_bytes(image_bytes(77))
    exporter.wait_for_value(11.0, "clean_images", model="production")
    assert exporter.value("dataset_changed_timestamp_seconds", dataset="small") == pytest.approx(time.time(), abs=60)


def test_files_that_cannot_be_measured_are_excluded_from_rates(exporter: Exporter, tmp_path: Path) -> None:
    clean = tmp_path / "images" / "clean"
    (clean / "empty.png").touch()
    (clean / "text.jpg").write_text("not an image")
    (clean / "directory.png").mkdir()
    (tmp_path / "images" / "stego" / "unlabelled.png").write_bytes(image_bytes(78))
    exporter.wait_for_value(2.0, "images_not_measured", model="production", reason="unreadable")
    assert exporter.value("images_not_measured", model="production", reason="unlabelled") == 1.0
    assert exporter.value("clean_images", model="production") == 10.0


def test_killed_worker_is_replaced(tmp_path: Path) -> None:
    with Exporter(write_config(tmp_path, latency={"sample": 0})) as exporter:
        exporter.wait_until(exporter.worker, "a worker process").kill()
        exporter.wait_for_value(1.0, "evaluations_total", model="production", outcome="success")
        assert exporter.value("evaluations_total", model="production", outcome="crashed") == 0.0


def test_worker_that_is_killed_twice_is_counted_and_the_next_run_succeeds(tmp_path: Path) -> None:
    config = write_config(tmp_path, latency={"sample": 0})
    with Exporter(config) as exporter:
        first = exporter.wait_until(exporter.worker, "a worker process")
        first.kill()

        def second() -> psutil.Process | None:
            found = exporter.worker()
            return None if found is None or found.pid == first.pid else found

        exporter.wait_until(second, "another worker process").kill()
        exporter.wait_for_value(1.0, "evaluations_total", model="production", outcome="crashed")
        assert exporter.value("detections", model="production", method="lsb") is None
        assert httpx.get(f"{exporter.url}/-/ready").status_code == 503
        asked = httpx.post(f"{exporter.url}/api/v1/evaluations?model=production&dataset=small")
        assert asked.status_code == 202
        exporter.wait_for_value(1.0, "evaluations_total", model="production", outcome="success")
        assert httpx.get(f"{exporter.url}/-/ready").status_code == 200


def test_run_is_terminated_after_timeout(tmp_path: Path) -> None:
    write_endless_model(tmp_path / "models" / "model.onnx")
    with Exporter(write_config(tmp_path, limits={"evaluation_timeout": "1s", "threads": 1})) as exporter:
        exporter.wait_for_value(1.0, "evaluations_total", model="production", outcome="timeout")
        assert exporter.wait_until(lambda: exporter.worker() is None, "the end of the worker")


def test_restart_restores_the_last_results_with_their_time(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    with Exporter(config) as exporter:
        exporter.wait_for_value(1.0, "evaluations_total", model="production", outcome="success")
        first = exporter.value("evaluation_timestamp_seconds", model="production")
        assert exporter.stop() == 0
    with Exporter(config) as exporter:
        exporter.wait_for_value(NONE_DETECTED, "detections", model="production", method="lsb")
        assert exporter.value("evaluation_timestamp_seconds", model="production") == first
        assert exporter.value("evaluations_total", model="production", outcome="success") == 0.0
        exporter.stop()
    (tmp_path / "images" / "clean" / "added-while-stopped.png").write_bytes(image_bytes(79))
    with Exporter(config) as exporter:
        exporter.wait_for_value(11.0, "clean_images", model="production")


def test_restart_evaluates_overdue_results_and_those_from_the_future(tmp_path: Path) -> None:
    config = write_config(tmp_path, schedule={"interval": "1h"})
    with Exporter(config) as exporter:
        exporter.wait_for_value(1.0, "evaluations_total", model="production", outcome="success")
        assert exporter.stop() == 0
    for age in (3601, -7200):
        make_older(tmp_path / "data" / "history.jsonl", seconds=age)
        with Exporter(config) as exporter:
            exporter.wait_for_value(1.0, "evaluations_total", model="production", outcome="success")
            runs = httpx.get(f"{exporter.url}/api/v1/evaluations").json()["evaluations"]
            assert runs[-1]["trigger"] == "start"


def test_sighup_and_post_reload_and_invalid_file_is_rejected(exporter: Exporter, tmp_path: Path) -> None:
    config = tmp_path / "starlight.yml"
    good = config.read_text()
    config.write_text(good + "surprise: 1\n")
    answer = httpx.post(f"{exporter.url}/-/reload")
    assert answer.status_code == 500
    assert "surprise" in answer.text
    assert exporter.value("exporter_config_last_reload_successful") == 0.0
    assert exporter.value("detections", model="production", method="lsb") == NONE_DETECTED
    content = yaml.safe_load(good)
    second = write_random_model(tmp_path / "models" / "second.onnx", seed=1)
    content["models"].append({"name": "second", "file": str(second), "role": "research"})
    config.write_text(yaml.safe_dump(content))
    exporter.process.send_signal(signal.SIGHUP)
    exporter.wait_for_value(1.0, "evaluations_total", model="second", outcome="success")
    assert exporter.value("exporter_config_last_reload_successful") == 1.0
    config.write_text(good)
    assert httpx.post(f"{exporter.url}/-/reload").status_code == 200
    assert not [name for name, labels in exporter.metrics() if ("model", "second") in labels]


def test_sigterm_during_a_run_exits_with_0_and_ends_the_worker(tmp_path: Path) -> None:
    exporter = Exporter(write_config(tmp_path))
    worker = exporter.wait_until(exporter.worker, "a worker process")
    assert exporter.stop() == 0
    assert not worker.is_running() or worker.status() == "zombie"


def test_sigterm_that_interrupts_any_thread_stops_the_exporter(tmp_path: Path) -> None:
    with Exporter(write_config(tmp_path)) as exporter:
        process = exporter.process
        other = max(thread.id for thread in psutil.Process(process.pid).threads() if thread.id != process.pid)
        assert ctypes.CDLL(None).tgkill(process.pid, other, signal.SIGTERM) == 0
        assert process.wait(STOP_TIMEOUT * 3) == 0


def test_port_in_use_is_a_one_line_error(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, text = run(write_config(tmp_path), f"--web.listen-address={address}")
    assert code == 2
    assert text == f"starlight-exporter: cannot listen on {address}: Address already in use\n"


def test_results_are_displayed_although_they_cannot_be_stored(tmp_path: Path) -> None:
    # A file instead of the folder also fails for root, unlike missing permissions.
    (tmp_path / "data").write_text("not a folder")
    with Exporter(write_config(tmp_path, paths={"data": "data/inside", "results": "data/inside"})) as exporter:
        exporter.wait_for_value(NONE_DETECTED, "detections", model="production", method="lsb")
        exporter.wait_until(
            lambda: (exporter.value("storage_failures_total", store="history") or 0) > 0, "a storage failure"
        )
        exporter.wait_until(
            lambda: (exporter.value("storage_failures_total", store="evidence") or 0) > 0, "a storage failure"
        )
        assert "Storing results failed" in httpx.get(exporter.url).text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda folder: (folder / "starlight.yml").unlink(),
            "starlight.yml: cannot be read: No such file or directory",
        ),
        (lambda folder: (folder / "starlight.yml").write_text("models: 3\n"), "models"),
    ],
)
def test_invalid_configuration_is_a_one_line_error_with_exit_code_2(
    tmp_path: Path, change: Callable[[Path], object], expected: str
) -> None:
    config = write_config(tmp_path)
    change(tmp_path)
    code, text = run(config, "--config.check")
    assert code == 2
    assert expected in text
    assert text.count("\n") == 1


def test_shipped_configuration_is_valid() -> None:
    code, text = run(Path(__file__).resolve().parents[2] / "config" / "starlight.yml", "--config.check")
    assert (code, "ok" in text) == (0, True), text


def test_error_of_an_empty_dataset_has_its_path(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    shutil.rmtree(tmp_path / "images")
    (tmp_path / "images").mkdir()
    with Exporter(config) as exporter:
        exporter.wait_for_value(1.0, "evaluations_total", model="production", outcome="error")
        (newest, *_) = httpx.get(f"{exporter.url}/api/v1/evaluations").json()["evaluations"]
        assert str(tmp_path / "images") in newest["error"]


def make_older(history: Path, *, seconds: float) -> None:
    """Change the time of the results in a history, as if the exporter had been stopped for longer."""
    lines = [json.loads(line) for line in history.read_text().splitlines()]
    for line in lines:
        line["finished_at"] -= seconds
    history.write_text("".join(json.dumps(line) + "\n" for line in lines))


def run(config: Path, *flags: str) -> tuple[int, str]:
    """Return exit code and output of a command that ends by itself."""
    done = subprocess.run(
        [sys.executable, "-m", "starlight_exporter", f"--config.file={config}", *flags],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    return done.returncode, done.stderr + done.stdout


def test_model_change_triggers_stream_ablation(tmp_path: Path) -> None:
    with Exporter(write_config(tmp_path, analyses={"ablate": ["production"]})) as exporter:
        exporter.wait_for_value(1.0, "analysis_runs_total", analysis="ablation", outcome="success")
        # The output of the constant model does not depend on its only stream.
        assert exporter.value("ablation_log_loss_increase", model="production", stream="format") == 0
        changed = exporter.value("ablation_changed_ratio", model="production", stream="format")
        assert changed == 1
        assert exporter.value("ablation_changed_ratio", model="production", stream="lsb") is None
        better_model(tmp_path).replace(tmp_path / "models" / "model.onnx")
        exporter.wait_for_value(2.0, "analysis_runs_total", analysis="ablation", outcome="success")
        assert exporter.value("analysis_last_run_successful", analysis="ablation") == 1
        sha256 = hashlib.sha256((tmp_path / "models" / "model.onnx").read_bytes()).hexdigest()
        document = tmp_path / "results" / "documents" / "stream_ablation_production_small.md"
        exporter.wait_until(lambda: document.exists() and sha256[:12] in document.read_text(), "the ablation report")
        text = document.read_text()
        assert sha256[:12] in text
        assert "- No significant effect: format." in text

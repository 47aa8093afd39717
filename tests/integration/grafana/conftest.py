"""A Prometheus with the shipped rules that scrapes an exporter with all reference models."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from stack.configuration import remote_write
from support.exporter import Exporter
from support.prometheus_config import EVALUATION_TIMEOUT, write_prometheus_config
from support.run_cache import RunCache
from support.servers import Prometheus, put_prometheus_3_first
from support.victoria_metrics import VictoriaMetrics

ROOT = Path(__file__).resolve().parents[3]
MODELS = tuple(sorted((ROOT / "models").glob("*/model.onnx")))
ROLES = {"production": "production", "baseline": "baseline"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder for the data of exporter and Prometheus."""
    return tmp_path_factory.mktemp("grafana")


@pytest.fixture(scope="module")
def measuring(folder: Path, run_cache: RunCache) -> Iterator[Exporter]:
    """The running exporter, before its first results."""
    if not any(path.parent.name == "production" for path in MODELS):
        pytest.skip("models/ contains no production model")
    shutil.copytree(run_cache.synthetic(seed=5, clean=100, stego=60, negatives=25), folder / "images")
    with Exporter(write_exporter_config(folder)) as exporter:
        yield exporter


@pytest.fixture(scope="module")
def measured(folder: Path, measuring: Exporter) -> Iterator[Prometheus]:
    """Prometheus with a result of every model and values of the recorded series."""
    config = write_prometheus_config(folder, measuring.port)
    flags = ["--web.enable-admin-api"]
    with Prometheus(config, folder / "tsdb", log=folder / "prometheus.log", flags=flags) as prometheus:
        wait_until_measured(prometheus, measuring)
        yield prometheus


@pytest.fixture(scope="module")
def stored(folder: Path, measured: Prometheus) -> Iterator[VictoriaMetrics]:
    """VictoriaMetrics with the samples of Prometheus: the earlier ones copied, the later ones by remote write."""
    config = folder / "prometheus.yml"
    with VictoriaMetrics(folder / "store", log=folder / "store.log") as store:
        settings = yaml.safe_load(config.read_text())
        config.write_text(yaml.safe_dump({**settings, "remote_write": [remote_write(f"{store.url}/api/v1/write")]}))
        measured.reload()
        store.copy_scrapes(measured, folder / "tsdb")
        yield store


@pytest.fixture(scope="module")
def measured_by_3(folder: Path, measuring: Exporter) -> Iterator[Prometheus]:
    """The same with Prometheus 3."""
    folder = folder / "prometheus_3"
    folder.mkdir()
    config = write_prometheus_config(folder, measuring.port)
    with pytest.MonkeyPatch.context() as monkeypatch:
        put_prometheus_3_first(monkeypatch)
        prometheus = Prometheus(config, folder / "tsdb", log=folder / "prometheus.log")
    with prometheus:
        wait_until_measured(prometheus, measuring)
        yield prometheus


def wait_until_measured(prometheus: Prometheus, exporter: Exporter) -> None:
    """Wait until Prometheus has a result and an increase of the latency histogram for every model."""
    for complete in ('starlight_evaluation_info{dataset="reference"}', "starlight_drift_detected"):
        prometheus.wait_for_value(f"count({complete}) == {len(MODELS)}", timeout=EVALUATION_TIMEOUT)
    # Timings in the first scrape do not count as an increase, so everything is evaluated once more.
    httpx.post(f"{exporter.url}/api/v1/evaluations", params={"dataset": "reference"}).raise_for_status()
    prometheus.wait_for_value("max(starlight_ablation_log_loss_increase)", timeout=EVALUATION_TIMEOUT)
    recorded = "count(model_stage:starlight_inference_duration_seconds:p95_1d > 0)"
    prometheus.wait_for_value(f"{recorded} == {len(MODELS)}", timeout=EVALUATION_TIMEOUT)


def write_exporter_config(folder: Path) -> Path:
    models: list[dict[str, Any]] = []
    for path in MODELS:
        name = path.parent.name
        log = folder / f"{name}.jsonl"
        log.write_text("".join(json.dumps(epoch) + "\n" for epoch in training_epochs(epochs=6)))
        models.append(
            {
                "name": name,
                "file": str(path),
                "role": ROLES.get(name, "research"),
                "training_log": str(log),
                "decision": {"thresholds": {"alpha": 0.7, "palette": 0.98, "lsb": 0.95, "exif": 0.5, "eoi": 0.65}},
            }
        )
    config = folder / "starlight.yml"
    config.write_text(
        yaml.safe_dump(
            {
                "models": models,
                "datasets": [
                    {"name": "reference", "path": "images"},
                    # The same images: some of them are alarms.
                    {"name": "incoming", "path": "images", "labelled": False, "drift_reference": "reference"},
                ],
                "schedule": {"interval": "1h"},
                # No more timings than images: that would take minutes for all models.
                "latency": {"sample": 125},
                "analyses": {"ablate": ["production"]},
            }
        )
    )
    return config


def training_epochs(*, epochs: int) -> Iterator[dict[str, float]]:
    for epoch in range(1, epochs + 1):
        yield {
            "epoch": epoch,
            "train_loss": 0.7 / epoch,
            "validation_loss": 0.72 / epoch,
            "train_accuracy": 1 - 0.4 / epoch,
            "validation_accuracy": 1 - 0.42 / epoch,
        }

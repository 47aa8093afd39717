"""Servers with the shipped rules that scrape an exporter with one model of each role."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from stack.configuration import remote_write
from support.exporter import Exporter
from support.prometheus_config import EVALUATION_TIMEOUT, write_prometheus_config
from support.run_cache import RunCache
from support.servers import Prometheus, QueryServer, put_prometheus_3_first
from support.victoria_metrics import VictoriaMetrics

ROOT = Path(__file__).resolve().parents[3]
MODELS = {"production": "production", "baseline": "baseline", "v3": "research"}
"""Role by name. The other models differ from these in values, not in metrics."""

SERVERS = ("Prometheus", "Prometheus 3", "VictoriaMetrics")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder for the data of exporter and Prometheus."""
    return tmp_path_factory.mktemp("grafana")


@pytest.fixture(scope="module")
def measuring(folder: Path, run_cache: RunCache) -> Iterator[Exporter]:
    """The running exporter, before its first results."""
    shutil.copytree(run_cache.synthetic(seed=5, clean=100, stego=60, negatives=25), folder / "images")
    with Exporter(write_exporter_config(folder)) as exporter:
        yield exporter


@pytest.fixture(scope="module")
def servers(folder: Path, measuring: Exporter) -> Iterator[Mapping[str, QueryServer]]:
    """The servers by name, without those that are not installed, with a result of every model and recorded series."""
    found: dict[str, QueryServer] = {}
    with ExitStack() as stack:
        settings: dict[str, Any] = {}
        with suppress(pytest.skip.Exception):
            store = stack.enter_context(VictoriaMetrics(folder / "store", log=folder / "store.log"))
            settings = {"remote_write": [remote_write(f"{store.url}/api/v1/write")]}
            found["VictoriaMetrics"] = store
        scraping = [stack.enter_context(start_prometheus(folder, measuring, settings))]
        found["Prometheus"] = scraping[0]
        with suppress(pytest.skip.Exception), pytest.MonkeyPatch.context() as monkeypatch:
            put_prometheus_3_first(monkeypatch)
            scraping.append(stack.enter_context(start_prometheus(folder / "prometheus_3", measuring, {})))
            found["Prometheus 3"] = scraping[1]
        wait_until_measured(scraping, measuring)
        yield found


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, servers: Mapping[str, QueryServer]) -> QueryServer:
    """Each of the servers."""
    if request.param not in servers:
        pytest.skip(f"{request.param} is not installed")
    return servers[request.param]


def start_prometheus(folder: Path, exporter: Exporter, settings: Mapping[str, Any]) -> Prometheus:
    """Start a Prometheus with the shipped rules and additional settings that scrapes the exporter."""
    folder.mkdir(exist_ok=True)
    config = write_prometheus_config(folder, exporter.port)
    config.write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), **settings}))
    return Prometheus(config, folder / "tsdb", log=folder / "prometheus.log")


def wait_until_measured(servers: Sequence[Prometheus], exporter: Exporter) -> None:
    """Wait until the servers have a result and an increase of the latency histogram for every model."""

    def wait_for(expression: str) -> None:
        for server in servers:
            server.wait_for_value(expression, timeout=EVALUATION_TIMEOUT)

    for complete in ('starlight_evaluation_info{dataset="reference"}', "starlight_drift_detected"):
        wait_for(f"count({complete}) == {len(MODELS)}")
    # Timings in the first scrape do not count as an increase, so everything is evaluated once more.
    httpx.post(f"{exporter.url}/api/v1/evaluations", params={"dataset": "reference"}).raise_for_status()
    wait_for("max(starlight_ablation_log_loss_increase)")
    wait_for(f"count(model_stage:starlight_inference_duration_seconds:p95_1d > 0) == {len(MODELS)}")


def write_exporter_config(folder: Path) -> Path:
    models: list[dict[str, Any]] = []
    for name, role in MODELS.items():
        log = folder / f"{name}.jsonl"
        log.write_text("".join(json.dumps(epoch) + "\n" for epoch in training_epochs(epochs=6)))
        models.append(
            {
                "name": name,
                "file": str(ROOT / "models" / name / "model.onnx"),
                "role": role,
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

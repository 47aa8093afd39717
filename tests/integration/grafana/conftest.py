"""A real Prometheus that has scraped a real exporter with every reference model, under the shipped rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from starlight_exporter.synthesis import synthesise
from support.exporter import Exporter
from support.prometheus_config import BASELINE, EVALUATION_TIMEOUT, write_prometheus_config
from support.servers import Prometheus, put_prometheus_3_first

ROOT = Path(__file__).resolve().parents[3]
MODELS = tuple(sorted((ROOT / "models").glob("*/model.onnx")))
ROLES = {"production": "production", "v3": "baseline"}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the exporter and its Prometheus keep everything."""
    return tmp_path_factory.mktemp("grafana")


@pytest.fixture(scope="session")
def measuring(folder: Path) -> Iterator[Exporter]:
    """The exporter, its first results still to come."""
    if not any(path.parent.name == "production" for path in MODELS):
        pytest.skip("models/ holds no production model")
    synthesise(folder / "images", seed=5, clean=40, stego=60, negatives=25, workers=2)
    with Exporter(write_exporter_config(folder)) as exporter:
        yield exporter


@pytest.fixture(scope="session")
def measured(folder: Path, measuring: Exporter) -> Iterator[Prometheus]:
    """Ready once every model has a result and the recorded series have theirs."""
    config = write_prometheus_config(folder, measuring.port)
    with Prometheus(config, folder / "tsdb", log=folder / "prometheus.log") as prometheus:
        wait_until_measured(prometheus, measuring)
        yield prometheus


@pytest.fixture(scope="session")
def measured_by_3(folder: Path, measuring: Exporter) -> Iterator[Prometheus]:
    """The same by Prometheus 3."""
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
    """Return once Prometheus has a result of every model, and an increase of its timings."""
    complete = f"count(starlight_evaluation_info) == {len(MODELS)}"
    prometheus.wait_for_value(complete, timeout=EVALUATION_TIMEOUT)
    # Timings that were there at the first scrape are no increase: everything once more, while Prometheus looks.
    httpx.post(f"{exporter.url}/api/v1/evaluations").raise_for_status()
    prometheus.wait_for_value("max(starlight_ablation_log_loss_increase)", timeout=EVALUATION_TIMEOUT)
    recorded = "count(model_stage:starlight_inference_duration_seconds:p95_1d > 0)"
    prometheus.wait_for_value(f"{recorded} == {len(MODELS)}", timeout=EVALUATION_TIMEOUT)


def write_exporter_config(folder: Path) -> Path:
    models: list[dict[str, Any]] = []
    for path in MODELS:
        name = path.parent.name
        log = folder / f"{name}.jsonl"
        log.write_text("".join(json.dumps(epoch) + "\n" for epoch in training(epochs=6)))
        models.append(
            {
                "name": name,
                "file": str(path),
                "role": ROLES.get(name, "research"),
                "training_log": str(log),
                "decision": {"thresholds": {"alpha": 0.7, "palette": 0.98, "lsb": 0.95, "exif": 0.5, "eoi": 0.65}},
            }
        )
    baseline = folder / "baseline.json"
    baseline.write_text(json.dumps(BASELINE))
    config = folder / "starlight.yml"
    config.write_text(
        yaml.safe_dump(
            {
                "models": models,
                "datasets": [{"name": "reference", "path": "images"}],
                "schedule": {"interval": "1h"},
                "baseline": str(baseline),
                "analyses": {"ablate": ["production"]},
                "paths": {"runbooks": str(ROOT / "alerting" / "runbooks")},
            }
        )
    )
    return config


def training(*, epochs: int) -> Iterator[dict[str, float]]:
    for epoch in range(1, epochs + 1):
        yield {
            "epoch": epoch,
            "train_loss": 0.7 / epoch,
            "validation_loss": 0.72 / epoch,
            "train_accuracy": 1 - 0.4 / epoch,
            "validation_accuracy": 1 - 0.42 / epoch,
        }

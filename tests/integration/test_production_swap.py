"""Model replacement in production, with trained models, synthetic images, exporter and Prometheus."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from starlight_exporter.detector.contract import METHODS
from support.exporter import Exporter
from support.run_cache import RunCache
from support.scripts import run_script
from support.servers import Prometheus

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
SCRAPE_SECONDS = 1


@pytest.fixture(scope="module")
def images(run_cache: RunCache) -> Path:
    return run_cache.synthetic(seed=515, clean=150, stego=250, negatives=50)


@pytest.fixture
def stack(tmp_path: Path, images: Path) -> dict[str, Any]:
    """Return the shipped configuration with a copy of the production model and the images of this test."""
    model = tmp_path / "production" / "model.onnx"
    model.parent.mkdir()
    shutil.copy(ROOT / "models" / "production" / "model.onnx", model)
    settings = yaml.safe_load((ROOT / "config" / "starlight.yml").read_text())
    settings["models"] = [entry for entry in settings["models"] if entry["role"] == "production"]
    settings["models"][0]["file"] = str(model)
    settings["datasets"] = [{"name": "images", "path": str(images)}]
    settings["baseline"] = None
    settings["paths"] = {"data": "data", "results": "results"}
    config = tmp_path / "starlight.yml"
    config.write_text(yaml.safe_dump(settings))
    return {"config": config, "model": model, "folder": tmp_path}


def scrape_config(folder: Path, exporter: Exporter) -> Path:
    """Write the shipped prometheus.yml with this exporter as target and short intervals."""
    content = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())
    content["global"] |= {
        "scrape_interval": f"{SCRAPE_SECONDS}s",
        "scrape_timeout": f"{SCRAPE_SECONDS}s",
        "evaluation_interval": f"{SCRAPE_SECONDS}s",
    }
    content["rule_files"] = [str(ROOT / "prometheus" / "rules" / "*.yml")]
    content.pop("alerting")
    jobs = [job for job in content["scrape_configs"] if job["job_name"] == "starlight-exporter"]
    jobs[0]["static_configs"] = [{"targets": [f"127.0.0.1:{exporter.port}"]}]
    content["scrape_configs"] = jobs
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(content))
    return file


def monitor(model: Path, images: Path, folder: Path) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Return metrics and predictions of the command."""
    metrics, predictions = folder / "metrics.json", folder / "predictions.csv"
    done = run_script(
        *("monitor_performance.py", "--model", model, "--dataset", images, "--latency-sample", "0"),
        *("--output", metrics, "--predictions", predictions),
    )
    assert done.returncode in (0, 1), done.stderr
    with predictions.open(newline="") as file:
        return json.loads(metrics.read_text()), list(csv.DictReader(file))


def count_rates(rows: list[dict[str, str]]) -> dict[str, float]:
    """Count detections per method and false positives in predictions, independently of the product."""
    measured = [row for row in rows if not row["not_measured"]]
    found = Counter(row["method"] for row in measured if row["label"] == "stego" and row["verdict"] == "stego")
    of = Counter(row["method"] for row in measured if row["label"] == "stego")
    clean = [row for row in measured if row["label"] == "clean"]
    ratios: dict[str, float] = {method: found[method] / of[method] for method in METHODS}
    return {**ratios, "false positives": sum(row["verdict"] == "stego" for row in clean) / len(clean)}


def query_rates(prometheus: Prometheus) -> dict[str, float]:
    """Return the same metrics from Prometheus."""
    rows = prometheus.query('starlight_detection_ratio{model="production"}')
    ratios = {row["metric"]["method"]: float(row["value"][1]) for row in rows}
    return {
        **ratios,
        "false positives": prometheus.wait_for_value('starlight_false_positive_ratio{model="production"}'),
    }


def test_replaced_model_has_the_metrics_of_the_command_in_prometheus(stack: dict[str, Any], images: Path) -> None:
    folder, model = stack["folder"], stack["model"]
    v4_metrics, v4_rows = monitor(ROOT / "models" / "v4" / "model.onnx", images, folder)
    v3_metrics, v3_rows = monitor(ROOT / "models" / "v3" / "model.onnx", images, folder)
    assert count_rates(v4_rows) != count_rates(v3_rows), "the two models have equal rates on these images"
    with Exporter(stack["config"]) as exporter:
        config = scrape_config(folder, exporter)
        with Prometheus(config, folder / "tsdb", log=folder / "prometheus.log") as prometheus:
            wait_for_model(prometheus, v4_metrics)
            assert query_rates(prometheus) == pytest.approx(count_rates(v4_rows))
            new = model.with_name("new.onnx")
            shutil.copy(ROOT / "models" / "v3" / "model.onnx", new)
            os.replace(new, model)  # noqa: PTH105  # as a deployment does it
            wait_for_model(prometheus, v3_metrics)
            assert query_rates(prometheus) == pytest.approx(count_rates(v3_rows))
            assert latest(exporter)["clean"] == v3_metrics["clean"]
            assert latest(exporter)["detections"] == v3_metrics["detections"]
            assert latest(exporter)["operating_points"] == v3_metrics["operating_points"]


def wait_for_model(prometheus: Prometheus, metrics: dict[str, Any]) -> None:
    sha256 = metrics["provenance"]["model_sha256"][:12]
    prometheus.wait_for_value(f'starlight_evaluation_info{{model="production",model_sha256="{sha256}"}}', timeout=60)


def latest(exporter: Exporter) -> dict[str, Any]:
    (newest, *_) = httpx.get(f"{exporter.url}/api/v1/evaluations").json()["evaluations"]
    content: dict[str, Any] = httpx.get(f"{exporter.url}/evaluations/{newest['id']}.json").json()["evaluation"]
    return content

"""The dashboards of a good model, of one that got worse, and of results that got old: each says so, and no panel fails.

STARLIGHT_DRAWINGS=FOLDER keeps the pictures, and has them drawn for a wall (1920 pixels) too.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from grafana.source.health import HEALTH
from support.dashboard_screenshots import render_dashboards
from support.dashboards import NAMES, plain
from support.exporter import Exporter
from support.prometheus_config import BASELINE, EVALUATION_TIMEOUT, ROOT, write_prometheus_config
from support.servers import Prometheus
from support.small_images import synthesise_small_images

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

THRESHOLDS = {"alpha": 0.7, "palette": 0.98, "lsb": 0.95, "exif": 0.5, "eoi": 0.65}
CRITICAL = 3.0
SLOW_MACHINE = {"StarlightLatencyAboveLimit", "StarlightLatencyAboveBaseline", "StarlightRegressionSuiteFailing"}


@dataclass(slots=True)
class Wall:
    """A stack whose production model and dataset are copies that a test may spoil."""

    folder: Path
    exporter: Exporter
    prometheus: Prometheus

    def wait_for(self, expression: str) -> None:
        self.prometheus.wait_for_value(expression, timeout=EVALUATION_TIMEOUT)

    def render(self, state: str) -> dict[str, Any]:
        kept = os.environ.get("STARLIGHT_DRAWINGS")
        out = Path(kept) if kept else self.folder
        if kept:
            render_dashboards(
                self.prometheus.url, out / f"{state}-1920", seconds=300, exporter=self.exporter.url, width=1920
            )
        return render_dashboards(self.prometheus.url, out / f"{state}-1280", seconds=300, exporter=self.exporter.url)

    def health(self) -> float | None:
        return self.prometheus.value(plain(HEALTH, model="production"))


@pytest.fixture(scope="module")
def wall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wall]:
    folder = tmp_path_factory.mktemp("wall")
    synthesise_small_images(folder, seed=6, clean=100, stego=100, negatives=25)
    for name in ("production", "v3"):
        shutil.copytree(ROOT / "models" / name, folder / "models" / name)
    (folder / "baseline.json").write_text(json.dumps(BASELINE))
    config = folder / "starlight.yml"
    configure(config, interval="1h")
    with Exporter(config) as exporter:
        file = write_prometheus_config(folder, exporter.port)
        with Prometheus(file, folder / "tsdb", log=folder / "prometheus.log") as prometheus:
            wall = Wall(folder, exporter, prometheus)
            wall.wait_for("count(starlight_evaluation_info) == 2")
            yield wall


def configure(file: Path, *, interval: str) -> None:
    models = [
        {"name": name, "file": f"models/{name}/model.onnx", "role": role, "decision": {"thresholds": THRESHOLDS}}
        for name, role in (("production", "production"), ("v3", "baseline"))
    ]
    file.write_text(
        yaml.safe_dump(
            {
                "models": models,
                "datasets": [{"name": "reference", "path": "images"}],
                "schedule": {"interval": interval},
                "watch": {"interval": "200ms", "settle": "400ms"},
                "baseline": "baseline.json",
                "analyses": {"ablate": ["production"]},
            }
        )
    )


@pytest.fixture(scope="module")
def healthy(wall: Wall) -> dict[str, Any]:
    """The good model, evaluated twice and analysed."""
    wall.wait_for("count(starlight_analysis_last_run_successful == 1) == 4")
    httpx.post(f"{wall.exporter.url}/api/v1/evaluations").raise_for_status()
    wall.wait_for('min(starlight_evaluations_total{outcome="success"}) >= 2')
    return wall.render("healthy")


@pytest.fixture(scope="module")
def regressed(wall: Wall, healthy: dict[str, Any]) -> dict[str, Any]:
    """A worse model was put into the place of the good one."""
    assert healthy
    production = wall.folder / "models" / "production" / "model.onnx"
    shutil.copyfile(wall.folder / "models" / "v3" / "model.onnx", production)
    wall.wait_for('ALERTS{alertname="StarlightDetectionBelowFloor",alertstate="firing",severity="critical"} > 0')
    reports = wall.render("regressed")
    assert wall.health() == CRITICAL
    return reports


@pytest.fixture(scope="module")
def stale(wall: Wall, regressed: dict[str, Any]) -> dict[str, Any]:
    """No evaluation succeeds any more: the dataset is gone, and the numbers are those of before."""
    assert regressed
    (wall.folder / "images").rename(wall.folder / "images-gone")
    configure(wall.folder / "starlight.yml", interval="10s")
    httpx.post(f"{wall.exporter.url}/-/reload").raise_for_status()
    wall.wait_for('count(starlight_evaluation_last_run_successful{model="production"} == 0)')
    wall.wait_for('max(ALERTS{alertname="StarlightEvaluationStale",alertstate="firing"})')
    return wall.render("stale")


@pytest.mark.parametrize("name", NAMES)
def test_no_panel_fails_when_all_is_well(healthy: dict[str, Any], name: str) -> None:
    assert failures(healthy[name]) == []


def test_the_wall_says_healthy(wall: Wall, healthy: dict[str, Any]) -> None:
    firing = wall.prometheus.query('ALERTS{alertstate="firing",severity!="info"}')
    # Only how fast this machine is may be held against the good model.
    failed = wall.prometheus.query('starlight_regression_check_passed{model="production"} == 0')
    assert {one["metric"]["check"] for one in failed} <= {"latency_limit", "latency_baseline"}
    assert {one["metric"]["alertname"] for one in firing} <= SLOW_MACHINE
    severities = {one["metric"]["severity"] for one in firing}
    worst = "CRITICAL" if "critical" in severities else "WARNING" if severities else "HEALTHY"
    assert worst in healthy["overview"]["texts"]["Health of production"]


@pytest.mark.parametrize("name", NAMES)
def test_no_panel_fails_when_the_model_got_worse(regressed: dict[str, Any], name: str) -> None:
    assert failures(regressed[name]) == []


@pytest.mark.parametrize("name", NAMES)
def test_no_panel_fails_when_results_got_old(stale: dict[str, Any], name: str) -> None:
    assert failures(stale[name]) == []


def test_the_wall_says_critical_and_why(regressed: dict[str, Any]) -> None:
    texts = regressed["overview"]["texts"]
    assert "CRITICAL" in texts["Health of production"]
    assert "StarlightDetectionBelowFloor" in texts["Firing alerts"]


def test_the_wall_says_that_results_are_old(stale: dict[str, Any]) -> None:
    assert "StarlightEvaluationStale" in stale["overview"]["texts"]["Firing alerts"]
    assert "failed" in stale["exporter"]["texts"]["Runs since the exporter started"]


def failures(report: dict[str, Any]) -> list[Any]:
    """Panels that are not drawn, and what the page complains of."""
    failed = [panel for panel in report["panels"].values() if panel["status"] not in ("ok", "empty")]
    return [*failed, *report["errors"]]

"""Dashboards of a healthy model, of a regression and of stale results: the state is displayed and no panel fails.

With STARLIGHT_SCREENSHOTS=FOLDER the screenshots are kept, also at a width of 1920 pixels.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from grafana.source.health import HEALTH
from support.dashboard_screenshots import render_dashboards
from support.dashboards import FILES, NAMES, plain
from support.exporter import Exporter
from support.prometheus_config import EVALUATION_TIMEOUT, ROOT, write_prometheus_config
from support.run_cache import RunCache
from support.servers import Prometheus

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

THRESHOLDS = {"alpha": 0.7, "palette": 0.98, "lsb": 0.95, "exif": 0.5, "eoi": 0.65}
CRITICAL = 3.0
SLOW_MACHINE = {"StarlightLatencyAboveLimit", "StarlightLatencyAboveBaseline", "StarlightRegressionSuiteFailing"}


@dataclass(slots=True)
class MonitoredModel:
    """An exporter with copies of production model and dataset that a test can replace, and its Prometheus."""

    folder: Path
    exporter: Exporter
    prometheus: Prometheus

    def wait_for(self, expression: str) -> None:
        self.prometheus.wait_for_value(expression, timeout=EVALUATION_TIMEOUT)

    def render(self, state: str, *, names: Sequence[str] = NAMES) -> dict[str, Any]:
        """Render the dashboards with these names, and all if the screenshots are kept."""
        screenshots = os.environ.get("STARLIGHT_SCREENSHOTS")
        out = Path(screenshots) if screenshots else self.folder
        if screenshots:
            render_dashboards(self.prometheus.url, out / f"{state}-1920", seconds=300, width=1920)
        files = [file for file in FILES if screenshots or file.stem in names]
        return render_dashboards(self.prometheus.url, out / f"{state}-1280", seconds=300, files=files)

    def health(self) -> float | None:
        return self.prometheus.value(plain(HEALTH, model="production"))


@pytest.fixture(scope="module")
def monitored(tmp_path_factory: pytest.TempPathFactory, run_cache: RunCache) -> Iterator[MonitoredModel]:
    folder = tmp_path_factory.mktemp("states")
    shutil.copytree(run_cache.small_synthetic(seed=31, clean=150, stego=150, negatives=25), folder / "images")
    for name in ("production", "baseline"):
        shutil.copytree(ROOT / "models" / name, folder / "models" / name)
    config = folder / "starlight.yml"
    configure(config, interval="1h")
    with Exporter(config) as exporter:
        file = write_prometheus_config(folder, exporter.port)
        with Prometheus(file, folder / "tsdb", log=folder / "prometheus.log") as prometheus:
            monitored = MonitoredModel(folder, exporter, prometheus)
            monitored.wait_for("count(starlight_evaluation_info) == 2")
            yield monitored


def configure(file: Path, *, interval: str) -> None:
    models = [
        {"name": name, "file": f"models/{name}/model.onnx", "role": role, "decision": {"thresholds": THRESHOLDS}}
        for name, role in (("production", "production"), ("baseline", "baseline"))
    ]
    file.write_text(
        yaml.safe_dump(
            {
                "models": models,
                "datasets": [{"name": "reference", "path": "images"}],
                "schedule": {"interval": interval},
                "watch": {"interval": "200ms", "settle": "400ms"},
                "latency": {"sample": 325},
                "analyses": {"ablate": ["production"]},
            }
        )
    )


@pytest.fixture(scope="module")
def healthy(monitored: MonitoredModel) -> dict[str, Any]:
    """Report of the overview of the healthy model after two evaluations and the analyses."""
    # Production and baseline are the same file, so that there is no comparison report.
    monitored.wait_for("count(starlight_analysis_last_run_successful == 1) == 3")
    httpx.post(f"{monitored.exporter.url}/api/v1/evaluations").raise_for_status()
    monitored.wait_for('starlight_evaluations_total{model="production",outcome="success"} >= 2')
    # `test_dashboards.py` renders all dashboards of a healthy model.
    return monitored.render("healthy", names=["overview"])


@pytest.fixture(scope="module")
def regressed(monitored: MonitoredModel, healthy: dict[str, Any]) -> dict[str, Any]:
    """Report after a worse model was deployed."""
    assert healthy
    production = monitored.folder / "models" / "production" / "model.onnx"
    shutil.copyfile(ROOT / "models" / "v3" / "model.onnx", production)
    monitored.wait_for('ALERTS{alertname="StarlightDetectionBelowFloor",alertstate="firing",severity="critical"} > 0')
    reports = monitored.render("regressed")
    assert monitored.health() == CRITICAL
    return reports


@pytest.fixture(scope="module")
def stale(monitored: MonitoredModel, regressed: dict[str, Any]) -> dict[str, Any]:
    """Report after evaluations began to fail because the dataset is missing."""
    assert regressed
    (monitored.folder / "images").rename(monitored.folder / "images-moved")
    configure(monitored.folder / "starlight.yml", interval="10s")
    httpx.post(f"{monitored.exporter.url}/-/reload").raise_for_status()
    monitored.wait_for('count(starlight_evaluation_last_run_successful{model="production"} == 0)')
    monitored.wait_for('max(ALERTS{alertname="StarlightEvaluationStale",alertstate="firing"})')
    return monitored.render("stale")


def test_overview_displays_health(monitored: MonitoredModel, healthy: dict[str, Any]) -> None:
    firing = monitored.prometheus.query('ALERTS{alertstate="firing",severity!="info"}')
    # Only latency depends on the machine.
    failed = monitored.prometheus.query('starlight_regression_check_passed{model="production"} == 0')
    assert {one["metric"]["check"] for one in failed} <= {"latency_limit", "latency_baseline"}
    assert {one["metric"]["alertname"] for one in firing} <= SLOW_MACHINE
    severities = {one["metric"]["severity"] for one in firing}
    worst = "CRITICAL" if "critical" in severities else "WARNING" if severities else "HEALTHY"
    assert worst in healthy["overview"]["texts"]["Health of production"]


def test_passes_are_displayed_as_inconclusive(healthy: dict[str, Any]) -> None:
    """150 clean images and 30 of each method do not confirm a target."""
    texts = healthy["overview"]["texts"]
    for title in ("False positive rate", "Lowest detection rate"):
        assert "pass (inconclusive)" in texts[title]
        assert "fail" not in texts[title]


@pytest.mark.parametrize("name", NAMES)
def test_no_panel_fails_after_regression(regressed: dict[str, Any], name: str) -> None:
    assert failures(regressed[name]) == []


@pytest.mark.parametrize("name", NAMES)
def test_no_panel_fails_for_stale_results(stale: dict[str, Any], name: str) -> None:
    assert failures(stale[name]) == []


def test_overview_displays_critical_alerts_after_regression(regressed: dict[str, Any]) -> None:
    texts = regressed["overview"]["texts"]
    assert "CRITICAL" in texts["Health of production"]
    assert "StarlightDetectionBelowFloor" in texts["Firing alerts"]
    assert "fail (significant)" in texts["Lowest detection rate"]
    assert "detection_baseline" in texts["Checks"]


def test_dashboards_display_stale_results(stale: dict[str, Any]) -> None:
    assert "StarlightEvaluationStale" in stale["overview"]["texts"]["Firing alerts"]
    assert "failed" in stale["exporter"]["texts"]["Evaluations since exporter start"]


def failures(report: dict[str, Any]) -> list[Any]:
    """Return panels that were not rendered, and page errors."""
    failed = [panel for panel in report["panels"].values() if panel["status"] not in ("ok", "empty")]
    return [*failed, *report["errors"]]

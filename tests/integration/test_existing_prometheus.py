"""Exported rules in a Prometheus with external labels and names of jobs of its own, which scrapes two exporters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from starlight_exporter.cli import main as starlight
from support.browser import Browser
from support.dashboards import plain, queries
from support.exporter import Exporter, write_config
from support.reverse_proxy import reverse_proxy
from support.servers import Prometheus, free_port, put_prometheus_3_first
from support.waiting import wait_until
from support.web import AsgiServer, no_web_config

pytestmark = [pytest.mark.integration, pytest.mark.slow]

GRAFANA = "https://grafana.example/base/"
ALERT = "StarlightDetectionBelowFloor"
"""Fires for a model that detects nothing."""


@dataclass(frozen=True)
class Environment:
    """Two exporters, of which only `europe` has URLs for users, and the Prometheus."""

    europe: Exporter
    asia: Exporter
    prometheus: Prometheus

    @property
    def url(self) -> str:
        """The URL of `europe` for users."""
        return f"{self.europe.url}/europe/"

    def alerts(self, job: str) -> list[dict[str, Any]]:
        """Return the firing alerts of the exporter with this job."""
        found = httpx.get(f"{self.prometheus.url}/api/v1/alerts").json()["data"]["alerts"]
        return [one for one in found if one["labels"].get("job") == job and one["state"] == "firing"]


@pytest.fixture(scope="module", params=["installed", "3"])
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    folder = tmp_path_factory.mktemp("existing")
    port = free_port()
    flags = [f"--web.external-url=http://127.0.0.1:{port}/europe", f"--web.grafana-url={GRAFANA}"]
    configs = {}
    for name in ("europe", "asia"):
        (folder / name).mkdir()
        configs[name] = write_config(folder / name, latency={"sample": 20})
    assert starlight.main(["assets", "export", str(folder / "assets")]) == 0
    with (
        _exporter(configs["europe"], port, flags) as europe,
        Exporter(configs["asia"]) as asia,
        pytest.MonkeyPatch.context() as patch,
    ):
        if request.param == "3":
            put_prometheus_3_first(patch)
        config = folder / "prometheus.yml"
        config.write_text(yaml.safe_dump(_settings(folder / "assets", europe, asia)))
        feature = ["--enable-feature=exemplar-storage"]
        with Prometheus(config, folder / "tsdb", log=folder / "prometheus.log", flags=feature) as prometheus:
            yield Environment(europe, asia, prometheus)


def _exporter(config: Path, port: int, flags: list[str]) -> Exporter:
    # Health checks below the prefix.
    return Exporter(config, port=port, flags=[*flags, "--web.route-prefix=/"])


def _settings(assets: Path, europe: Exporter, asia: Exporter) -> dict[str, Any]:
    return {
        "global": {
            "scrape_interval": "1s",
            "evaluation_interval": "1s",
            "external_labels": {"cluster": "eu", "exporter_url": "https://unrelated.example"},
        },
        "rule_files": [str(assets / "prometheus" / "rules" / "*.yml")],
        "scrape_configs": [
            {
                "job_name": name,
                "metrics_path": "/metrics",
                "static_configs": [{"targets": [f"127.0.0.1:{exporter.port}"], "labels": {"team": "forensics"}}],
            }
            for name, exporter in (("europe", europe), ("asia", asia))
        ],
    }


def alerts_of(environment: Environment, job: str) -> list[dict[str, Any]]:
    """Wait for the alerts about the detection rate of one exporter."""

    def found() -> list[dict[str, Any]] | None:
        return [one for one in environment.alerts(job) if one["labels"]["alertname"] == ALERT] or None

    return wait_until(found, f"{ALERT} of {job}")


def test_links_lead_to_pages_of_the_exporter_of_the_alert(environment: Environment) -> None:
    alerts_of(environment, "europe")
    followed = set()
    for alert in environment.alerts("europe"):
        links = {name: url for name, url in alert["annotations"].items() if name.endswith("_url")}
        dashboard = links.pop("dashboard_url", None)
        if dashboard is not None:
            assert dashboard.startswith(f"{GRAFANA}d/starlight-")
            assert "?var-job=europe&var-instance=127" in dashboard
        assert "runbook_url" in links
        for url in links.values():
            assert url.startswith(environment.url)
            followed.add(url)
    # The exporter serves without the prefix, as behind a proxy that removes it.
    proxy = AsgiServer(reverse_proxy("/europe", environment.europe.url), no_web_config())
    with proxy as proxied, Browser() as browser:
        for url in sorted(followed):
            browser.open(url.replace(environment.europe.url, proxied.url))
            assert browser.find("h1").text not in ("Not found", "Error"), url
        assert browser.hosts() == {proxied.url}


def test_exporter_without_url_has_no_links(environment: Environment) -> None:
    for alert in alerts_of(environment, "asia"):
        assert {url for name, url in alert["annotations"].items() if name.endswith("_url")} == {""}
        assert alert["annotations"]["description"].startswith("production on small: 0 of ")


def test_every_alert_has_the_target_labels_of_one_exporter(environment: Environment) -> None:
    alerts_of(environment, "europe")
    alerts_of(environment, "asia")
    found = httpx.get(f"{environment.prometheus.url}/api/v1/alerts").json()["data"]["alerts"]
    # Pending until the first scrape.
    found = [one for one in found if one["labels"]["alertname"] != "StarlightExporterAbsent"]
    targets = {(one["labels"].get("job"), one["labels"].get("instance")) for one in found}
    ports = {"europe": environment.europe.port, "asia": environment.asia.port}
    assert targets == {(job, f"127.0.0.1:{port}") for job, port in ports.items()}


def test_recorded_series_are_separate(environment: Environment) -> None:
    recorded = "model_dataset:starlight_detections:ratio"
    wait_until(lambda: len(environment.prometheus.query(recorded)) == 2, recorded)
    assert {one["metric"]["job"] for one in environment.prometheus.query(recorded)} == {"europe", "asia"}


def test_rules_are_evaluated_without_errors(environment: Environment) -> None:
    alerts_of(environment, "europe")
    groups = httpx.get(f"{environment.prometheus.url}/api/v1/rules").json()["data"]["groups"]
    assert {rule["lastError"] for group in groups for rule in group["rules"] if rule.get("lastError")} == set()


def test_overview_of_one_exporter_has_its_values_only(environment: Environment) -> None:
    alerts_of(environment, "europe")
    alerts_of(environment, "asia")
    images = 'sum(starlight_clean_images{job="$job",instance="$instance"})'
    expressions = [images, *(one.expr for one in queries("overview") if not one.place.startswith("variable"))]
    for job, port in {"europe": environment.europe.port, "asia": environment.asia.port}.items():
        of_exporter = {"job": job, "instance": f"127.0.0.1:{port}", "model": "production"}
        # Both have the same images, so that a sum over both would be twice that of one.
        assert environment.prometheus.value(plain(images, **of_exporter)) == environment.europe.value(
            "clean_images", model="production", dataset="small"
        )
        answered = [environment.prometheus.query(plain(one, **of_exporter)) for one in expressions]
        assert sum(map(bool, answered)) > len(expressions) / 2
        assert {series["metric"].get("job", job) for result in answered for series in result} == {job}


def test_exemplars_link_to_pages_of_images(environment: Environment) -> None:
    alerts_of(environment, "europe")

    def exemplars() -> list[dict[str, Any]] | None:
        asked = {"query": 'starlight_inference_duration_seconds_bucket{stage="total"}', "start": "0", "end": "9e9"}
        found = httpx.get(f"{environment.prometheus.url}/api/v1/query_exemplars", params=asked).json()["data"]
        return [
            one["labels"] | {"job": series["seriesLabels"]["job"]} for series in found for one in series["exemplars"]
        ] or None

    found = wait_until(exemplars, "exemplars")
    for labels in found:
        assert ("url" in labels) == (labels["job"] == "europe")
        if "url" in labels:
            served = labels["url"].replace(environment.url, f"{environment.europe.url}/")
            page = httpx.get(served, headers={"Accept": "text/html"})
            assert page.status_code == 200
            assert labels["image"].split("/")[0] in labels["url"]

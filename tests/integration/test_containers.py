"""docker-compose.yml without Grafana: built, started in order, scraped, alerting, and removed completely.

Needs a Docker engine; tests/containers/engine.sh starts one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.servers import free_port
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(1500)]

ROOT = Path(__file__).resolve().parents[2]
PROJECT = "starlight-test"
WAIT = 300.0


def docker(*arguments: str, check: bool = True) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if check:
        assert done.returncode == 0, done.stderr
    return done.stdout


def compose_command() -> list[str]:
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    pytest.skip("no docker compose and no docker-compose")


def require_engine() -> None:
    """Skip if no image can be built and run."""
    if shutil.which("docker") is None or not docker("info", "--format", "{{.ServerVersion}}", check=False).strip():
        pytest.skip("no Docker engine answers; tests/containers/engine.sh starts one")
    if "STARLIGHT_TEST_BASE" not in os.environ:
        pytest.skip("STARLIGHT_TEST_BASE is not set; tests/containers/engine.sh creates a base image")


class Compose:
    """The compose project with Debian's Prometheus and Alertmanager, on free ports."""

    def __init__(self) -> None:
        self.ports = {name: free_port() for name in ("NOTIFICATIONS", "EXPORTER", "ALERTMANAGER", "PROMETHEUS")}
        self._environment = os.environ | {f"STARLIGHT_{name}_PORT": str(port) for name, port in self.ports.items()}
        self._command = [
            *compose_command(),
            *("--project-name", PROJECT, "--project-directory", str(ROOT)),
            *("-f", str(ROOT / "docker-compose.yml"), "-f", str(ROOT / "tests" / "containers" / "debian.yml")),
        ]

    def run(self, *arguments: str, seconds: float = 900.0) -> str:
        done = subprocess.run(
            [*self._command, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=self._environment,
            timeout=seconds,
            cwd=ROOT,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    def inspect(self, service: str) -> dict[str, Any]:
        (found,) = json.loads(docker("inspect", self.run("ps", "-q", service).strip()))
        return dict(found)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def query(self, expression: str) -> list[dict[str, Any]]:
        answer = httpx.get(f"{self.url('PROMETHEUS')}/api/v1/query", params={"query": expression}, timeout=10.0)
        return list(answer.raise_for_status().json()["data"]["result"])


@pytest.fixture(scope="module")
def stack() -> Iterator[Compose]:
    require_engine()
    compose = Compose()
    compose.run("build")
    try:
        compose.run("up", "--detach")
        yield compose
    finally:
        compose.run("down", "--volumes", "--timeout", "30")
    left = docker("volume", "ls", "-q", "--filter", f"label=com.docker.compose.project={PROJECT}")
    assert not left.strip()


def wait_for(condition: Callable[[], object], description: str) -> None:
    def checked() -> bool:
        try:
            return bool(condition())
        except httpx.TransportError:
            return False

    wait_until(checked, description, timeout=WAIT, interval=1.0)


def test_services_start_in_order_and_become_healthy(stack: Compose) -> None:
    def healthy(service: str) -> bool:
        return bool(stack.inspect(service)["State"]["Health"]["Status"] == "healthy")

    services = ("notifications", "exporter", "alertmanager", "prometheus")
    for service in services:
        wait_for(lambda service=service: healthy(service), f"{service} healthy")  # type: ignore[misc]
    started = {service: stack.inspect(service)["State"]["StartedAt"] for service in services}
    assert started["exporter"] < started["prometheus"]
    assert started["notifications"] < started["alertmanager"] < started["prometheus"]


def test_containers_are_unprivileged_and_read_only(stack: Compose) -> None:
    for service in ("notifications", "exporter", "alertmanager", "prometheus", "markdown-dashboard"):
        container = stack.inspect(service)
        assert container["HostConfig"]["ReadonlyRootfs"], service
        assert container["HostConfig"]["CapDrop"] == ["ALL"], service
        assert container["HostConfig"]["Memory"], service
        assert docker("exec", container["Id"], "id", "-u").strip() not in ("", "0"), service
        bindings = [one for ports in container["HostConfig"]["PortBindings"].values() for one in ports]
        assert all(one["HostIp"] == "127.0.0.1" for one in bindings), service
    exporter = stack.inspect("exporter")["Id"]
    refused = subprocess.run(
        ["docker", "exec", exporter, "touch", "/opt/starlight/x"], capture_output=True, check=False
    )
    assert refused.returncode != 0


def test_prometheus_scrapes_the_exporter(stack: Compose) -> None:
    wait_for(lambda: stack.query('up{job="starlight-exporter"} == 1'), "the exporter's first scrape")
    wait_for(lambda: stack.query('starlight_false_positive_ratio{model="production"}'), "the first result")
    assert not stack.query('up{job!="starlight-exporter"} == 0')


def test_markdown_dashboard_is_written(stack: Compose) -> None:
    dashboard = stack.inspect("markdown-dashboard")["Id"]
    page = "/starlight/documents/performance_dashboard.md"
    wait_for(lambda: "production" in docker("exec", dashboard, "cat", page, check=False), "the markdown document")


def test_stopped_exporter_causes_a_notification(stack: Compose) -> None:
    stack.run("stop", "exporter")
    log = stack.inspect("notifications")["Id"]

    def notified() -> bool:
        return "StarlightExporterDown" in docker("exec", log, "cat", "/starlight/data/notifications.jsonl", check=False)

    wait_for(notified, "the notification")
    stack.run("start", "exporter")
    wait_for(lambda: stack.query('up{job="starlight-exporter"} == 1'), "the scrape after the restart")


def test_grafanas_password_is_generated(stack: Compose) -> None:
    read = ("run", "--rm", "-T", "setup", "cat", "/starlight/secrets/grafana_admin_password")
    password = stack.run(*read).strip()
    assert len(password) >= 20
    assert password not in (ROOT / "docker-compose.yml").read_text()

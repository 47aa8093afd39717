"""The compose file for real, all but Grafana: built, started in order, scraped, alerting, and gone without a trace.

Runs where a Docker engine answers; tests/containers/engine.sh gets one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.servers import free_port

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
    """Skip, and say what is missing, where nothing can be built and run."""
    if shutil.which("docker") is None or not docker("info", "--format", "{{.ServerVersion}}", check=False).strip():
        pytest.skip("no Docker engine answers; tests/containers/engine.sh gets one")
    if "STARLIGHT_TEST_BASE" not in os.environ:
        pytest.skip("STARLIGHT_TEST_BASE names no base image; tests/containers/engine.sh makes one")


class Compose:
    """The project with stand-in images on free ports."""

    def __init__(self) -> None:
        self.ports = {name: free_port() for name in ("NOTIFICATIONS", "EXPORTER", "ALERTMANAGER", "PROMETHEUS")}
        self._environment = os.environ | {f"STARLIGHT_{name}_PORT": str(port) for name, port in self.ports.items()}
        self._command = [
            *compose_command(),
            *("--project-name", PROJECT, "--project-directory", str(ROOT)),
            *("-f", str(ROOT / "docker-compose.yml"), "-f", str(ROOT / "tests" / "containers" / "standins.yml")),
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


def wait_for(look: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT
    while True:
        try:
            if look():
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, f"{what}: not within {WAIT:g} s"
        time.sleep(1)


def test_every_service_is_healthy_and_started_in_order(stack: Compose) -> None:
    def healthy(service: str) -> bool:
        return bool(stack.inspect(service)["State"]["Health"]["Status"] == "healthy")

    services = ("notifications", "exporter", "alertmanager", "prometheus")
    for service in services:
        wait_for(lambda service=service: healthy(service), f"{service} healthy")  # type: ignore[misc]
    begun = {service: stack.inspect(service)["State"]["StartedAt"] for service in services}
    assert begun["exporter"] < begun["prometheus"]
    assert begun["notifications"] < begun["alertmanager"] < begun["prometheus"]


def test_nothing_runs_as_root_or_writes_to_its_image(stack: Compose) -> None:
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


def test_prometheus_scrapes_the_exporter_and_has_its_numbers(stack: Compose) -> None:
    wait_for(lambda: stack.query('up{job="starlight-exporter"} == 1'), "the exporter's first scrape")
    wait_for(lambda: stack.query('starlight_false_positive_ratio{model="production"}'), "the first result")
    assert not stack.query('up{job!="starlight-exporter"} == 0')


def test_markdown_dashboard_contains_production_model(stack: Compose) -> None:
    container = stack.inspect("markdown-dashboard")["Id"]
    page = "/starlight/documents/performance_dashboard.md"
    wait_for(lambda: "production" in docker("exec", container, "cat", page, check=False), "the markdown document")


def test_a_stopped_exporter_reaches_the_notification_log(stack: Compose) -> None:
    stack.run("stop", "exporter")
    log = stack.inspect("notifications")["Id"]

    def told() -> bool:
        return "StarlightExporterDown" in docker("exec", log, "cat", "/starlight/data/notifications.jsonl", check=False)

    wait_for(told, "the notification")
    stack.run("start", "exporter")
    wait_for(lambda: stack.query('up{job="starlight-exporter"} == 1'), "the exporter's return")


def test_grafanas_password_is_of_this_installation_alone(stack: Compose) -> None:
    read = ("run", "--rm", "-T", "setup", "cat", "/starlight/secrets/grafana_admin_password")
    password = stack.run(*read).strip()
    assert len(password) >= 20
    assert password not in (ROOT / "docker-compose.yml").read_text()

"""docker-compose.yml and docker-compose.long-term.yml without Grafana: built, started in order, scraped, and removed.

Needs a Docker engine; tests/containers/engine.sh starts one.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from stack.loaded import require_receivers, require_rules
from support.compose import PROJECT, ROOT, Compose, docker, require_engine
from support.documents import blocks
from support.images import write_dataset
from support.locks import locked
from support.models import write_constant_model
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(1500)]

WAIT = 300.0
SERVICES = ("notifications", "exporter", "alertmanager", "prometheus", "markdown-dashboard", "victoria-metrics")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    require_engine()
    compose = Compose(tmp_path_factory.mktemp("checkout"))
    # Another worker may build the same image: the second build uses the layers of the first.
    with locked(ROOT / "Dockerfile"):
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

    services = [service for service in SERVICES if service != "markdown-dashboard"]
    for service in services:
        wait_for(lambda service=service: healthy(service), f"{service} healthy")  # type: ignore[misc]
    started = {service: stack.inspect(service)["State"]["StartedAt"] for service in services}
    assert started["exporter"] < started["prometheus"]
    assert started["notifications"] < started["alertmanager"] < started["prometheus"]


def test_containers_are_unprivileged_and_read_only(stack: Compose) -> None:
    for service in SERVICES:
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


def test_store_receives_what_prometheus_scrapes_and_verifies_the_history(stack: Compose) -> None:
    """The commands of docs/long-term-storage.md for containers: import, and verification as a service."""
    wait_for(
        lambda: stack.stored('starlight_false_positive_ratio{model="production"}'), "the first result in the store"
    )
    (scraped,) = stack.stored('up{job="starlight-exporter"}')
    assert scraped["metric"]["instance"] == "exporter:9877"
    assert not stack.stored("go_goroutines")
    (text,) = (one for one in blocks(ROOT / "docs" / "long-term-storage.md", "sh") if one.startswith("compose="))
    assignment, *lines = text.splitlines()
    assert assignment == 'compose="docker compose -f docker-compose.yml -f docker-compose.long-term.yml"'
    printed = [""]

    def verified() -> bool:
        # An evaluation that ends between import and verification is not in the store yet.
        done = stack.script("\n".join(lines))
        printed.append(done.stdout + done.stderr)
        return done.returncode == 0

    wait_until(verified, lambda: printed[-1], timeout=WAIT, interval=1.0)
    assert re.search(
        r"^[1-9]\d* evaluations \(\d+ imported, \d+ scraped, 0 missing\), .+: 0 different$", printed[-1], re.M
    )
    assert (stack.folder / "history.om").stat().st_size > 10_000


def test_links_have_the_published_ports(stack: Compose) -> None:
    (build,) = stack.query("starlight_exporter_build_info")
    assert build["metric"]["external_url"] == f"{stack.url('EXPORTER')}/"
    assert build["metric"]["grafana_url"] == f"{stack.url('GRAFANA')}/"


def test_prometheus_has_no_lifecycle_api_and_loads_all_rules(stack: Compose) -> None:
    assert httpx.post(f"{stack.url('PROMETHEUS')}/-/quit").status_code == 403
    require_rules(stack.url("PROMETHEUS"), ROOT / "prometheus" / "rules")
    require_receivers(stack.url("ALERTMANAGER"), ROOT / "alerting" / "alertmanager.yml")


REACH = """
import socket, sys
from concurrent.futures import ThreadPoolExecutor

def is_reached(address):
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        return False
    return True

addresses = sys.argv[1:]
with ThreadPoolExecutor(len(addresses)) as threads:
    print(*(address for address, reached in zip(addresses, threads.map(is_reached, addresses)) if reached))
"""
"""At the same time, because an address that is not reached takes the whole time limit."""


def test_exporter_reaches_only_prometheus(stack: Compose) -> None:
    ports = {
        "prometheus": 9090,
        "alertmanager": 9093,
        "notifications": 9876,
        "exporter": 9877,
        "victoria-metrics": 8428,
    }
    addresses = {
        name: [f"{one['IPAddress']}:{port}" for one in stack.inspect(name)["NetworkSettings"]["Networks"].values()]
        for name, port in ports.items()
    }

    def reached(service: str) -> set[str]:
        tried = [address for found in addresses.values() for address in found]
        container = stack.inspect(service)["Id"]
        connected = docker("exec", container, "python3", "-c", REACH, *tried).split()
        return {name for name, found in addresses.items() if set(found) & set(connected)}

    assert httpx.get(f"{stack.url('ALERTMANAGER')}/-/ready").status_code == 200
    foreign = {"Origin": "http://attacker.example"}
    assert httpx.post(f"{stack.url('ALERTMANAGER')}/api/v2/silences", headers=foreign, json={}).status_code == 403
    assert reached("exporter") == {"exporter", "prometheus"}
    assert reached("notifications") == {"notifications", "alertmanager"}
    assert reached("prometheus") == {"prometheus", "exporter", "alertmanager", "victoria-metrics"}
    assert reached("victoria-metrics") == {"victoria-metrics", "prometheus"}
    assert reached("markdown-dashboard") == {"prometheus", "alertmanager"}


def test_exporter_has_no_way_out_and_no_names(stack: Compose) -> None:
    exporter = stack.inspect("exporter")
    networks = json.loads(docker("network", "inspect", *exporter["NetworkSettings"]["Networks"]))
    options = [network["Options"]["com.docker.network.bridge.enable_ip_masquerade"] for network in networks]
    assert options == ["false"]
    resolve = "import socket; socket.getaddrinfo('example.com', 80)"
    done = subprocess.run(
        ["docker", "exec", exporter["Id"], "python3", "-c", resolve], capture_output=True, text=True, check=False
    )
    assert "gaierror" in done.stderr


def test_resources_are_limited(stack: Compose) -> None:
    for service in SERVICES:
        container = stack.inspect(service)
        assert container["HostConfig"]["PidsLimit"] == 200, service
        mounted = docker("exec", container["Id"], "cat", "/proc/mounts")
        (tmp,) = (line for line in mounted.splitlines() if line.split()[1] == "/tmp")
        assert {"noexec", "nosuid", "nodev"} <= set(tmp.split()[3].split(",")), service
        assert "size=" in tmp, service


def test_replaced_configuration_and_baseline_are_read(stack: Compose) -> None:
    exporter = stack.inspect("exporter")["Id"]
    config = stack.folder / "config" / "starlight.yml"
    text = config.read_text().replace("interval: 15m", "interval: 7m")
    # As an editor does: another file with the same name.
    for file, content in ((config, text), (stack.folder / "tests" / "regression_baselines.json", "{}")):
        new = file.with_suffix(".new")
        new.write_text(content)
        new.replace(file)
    assert docker("exec", exporter, "cat", "/starlight/config/starlight.yml") == text
    assert docker("exec", exporter, "cat", "/starlight/tests/regression_baselines.json") == "{}"
    assert httpx.post(f"{stack.url('EXPORTER')}/-/reload", timeout=30.0).status_code == 200
    wait_for(lambda: stack.query("starlight_evaluation_interval_seconds == 420"), "the new interval")


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


def test_image_runs_the_gate(stack: Compose, tmp_path: Path) -> None:
    images = write_dataset(tmp_path / "images")
    write_constant_model(tmp_path / "model.onnx", logit=-4.0)
    for path in (tmp_path, *images.rglob("*")):
        path.chmod(0o777)
    mounted = ("--rm", "--network", "none", "--volume", f"{tmp_path}:/work", "--workdir", "/work")
    image = stack.inspect("exporter")["Config"]["Image"]
    flags = ("--only", "negatives", "--junit", "junit.xml", "--quiet")
    printed = docker("run", *mounted, image, "gate", "--model", "model.onnx", "--dataset", "images", *flags)
    assert printed == "PASSED 2 of 2 (2 inconclusive)\n"
    assert (tmp_path / "junit.xml").read_text().startswith("<?xml")


def test_grafanas_password_is_generated(stack: Compose) -> None:
    read = ("run", "--rm", "-T", "setup", "cat", "/starlight/secrets/grafana_admin_password")
    password = stack.run(*read).strip()
    assert len(password) >= 20
    assert password not in (ROOT / "docker-compose.yml").read_text()

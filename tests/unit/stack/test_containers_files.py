"""docker-compose.yml, the Dockerfile, and the files of the `setup` service, without a Docker engine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack import grafana
from stack.containers import write_configurations
from stack.passwords import GRAFANA_PASSWORD, make_password
from stack.ports import SHIPPED, variable
from stack.services import CORS_ORIGIN, DASHBOARD_INTERVAL, EXEMPLARS, RETENTION
from starlight_exporter.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()

each_service = pytest.mark.parametrize("name", SERVICES)


@each_service
def test_images_have_exact_versions(name: str) -> None:
    # With digests after scripts/pin_images.py.
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+(@sha256:[0-9a-f]{64})?", SERVICES[name]["image"])


@each_service
def test_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service["cpus"]


@each_service
def test_ports_are_published_only_on_loopback(name: str) -> None:
    for port in SERVICES[name].get("ports", ()):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{STARLIGHT_[A-Z]+_PORT:-(\d+)\}:\1", port)


def test_default_ports_are_the_shipped_ports() -> None:
    for name, port in SHIPPED.by_service().items():
        # Only its proxy is published.
        service = "alertmanager-gate" if name == "alertmanager" else name
        assert SERVICES[service]["ports"] == [f"127.0.0.1:${{STARLIGHT_{name.upper()}_PORT:-{port}}}:{port}"]


@each_service
def test_service_waits_for_health_or_completion(name: str) -> None:
    for waited, how in SERVICES[name].get("depends_on", {}).items():
        expected = "service_completed_successfully" if waited == "setup" else "service_healthy"
        assert how == {"condition": expected}


@each_service
def test_every_named_volume_is_declared(name: str) -> None:
    for volume in SERVICES[name].get("volumes", ()):
        source = volume.split(":")[0]
        if source.startswith("./"):
            # A mount of a single file keeps its old contents when the file is replaced.
            assert (ROOT / source).is_dir(), source
            assert volume.endswith(":ro"), "nothing in a container writes to the checkout"
        else:
            assert source in COMPOSE["volumes"]


def test_file_contains_no_secret() -> None:
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if "PASSWORD" in key or "SECRET" in key:
                assert key.endswith("__FILE"), f"{name}: {key}"
                assert value.startswith("/"), f"{name}: {key}"


def test_intervals_equal_those_of_the_processes() -> None:
    assert f"--storage.tsdb.retention.time={RETENTION}" in SERVICES["prometheus"]["command"]
    assert f"--watch={DASHBOARD_INTERVAL}" in SERVICES["markdown-dashboard"]["command"]
    assert f"--web.cors.origin={CORS_ORIGIN}" in SERVICES["prometheus"]["command"]
    assert EXEMPLARS in SERVICES["prometheus"]["command"]


EDGES = {
    "alertmanager-internet": {"alertmanager"},
    "alertmanager-notifications": {"alertmanager", "notifications"},
    "gate-alertmanager": {"alertmanager-gate", "alertmanager"},
    "grafana-alertmanager": {"grafana", "alertmanager"},
    "grafana-prometheus": {"grafana", "prometheus"},
    "markdown-alertmanager": {"markdown-dashboard", "alertmanager"},
    "markdown-prometheus": {"markdown-dashboard", "prometheus"},
    "prometheus-alertmanager": {"prometheus", "alertmanager"},
    "prometheus-exporter": {"prometheus", "exporter"},
}
"""Who may reach whom."""


def test_each_network_connects_one_pair_of_services() -> None:
    members: dict[str, set[str]] = {network: set() for network in COMPOSE["networks"]}
    for name, service in SERVICES.items():
        if name == "setup":
            assert service["network_mode"] == "none"
        for network in service.get("networks", ()):
            members[network].add(name)
    assert members == EDGES


def test_only_alertmanager_has_a_way_out() -> None:
    masquerading = "com.docker.network.bridge.enable_ip_masquerade"
    for name, network in COMPOSE["networks"].items():
        if name == "alertmanager-internet":
            # The gateway is on the first network by name that is not isolated.
            assert network is None
            assert sorted(SERVICES["alertmanager"]["networks"])[0] == name
        else:
            assert network == {"driver_opts": {masquerading: "false"}}


@each_service
def test_resources_are_limited(name: str) -> None:
    service = SERVICES[name]
    assert service["pids_limit"] <= 200
    (tmpfs,) = service["tmpfs"]
    assert re.fullmatch(r"/tmp:size=\d+m,noexec,nosuid,nodev", tmpfs)


def test_memory_of_the_exporter_holds_its_worker_and_files() -> None:
    limit, files = (SERVICES["exporter"][key] for key in ("mem_limit", "tmpfs"))
    assert limit == "3g"
    worker, service = 1.5 * 1024, 512
    assert worker + service + int(re.findall(r"\d+", files[0])[0]) <= 3 * 1024


def test_links_in_alerts_and_dashboards_have_the_published_ports() -> None:
    for flag, name in (("external", "exporter"), *((name, name) for name in ("grafana", "prometheus", "alertmanager"))):
        port = f"${{{variable(name)}:-{SHIPPED.by_service()[name]}}}"
        assert f"--web.{flag}-url=http://127.0.0.1:{port}/" in SERVICES["exporter"]["command"]


def test_alertmanager_is_published_only_through_its_proxy() -> None:
    assert "ports" not in SERVICES["alertmanager"]


def test_no_service_has_a_lifecycle_api_that_nothing_needs() -> None:
    # The runbooks reload the exporter and request evaluations.
    with_lifecycle = [
        name for name, service in SERVICES.items() if "--web.enable-lifecycle" in service.get("command", ())
    ]
    assert with_lifecycle == ["exporter"]
    assert "lifecycle" not in DOCKERFILE


@each_service
def test_health_check_ignores_proxies(name: str) -> None:
    test = SERVICES[name].get("healthcheck", {}).get("test", ())
    if "python3" in test:
        assert "ProxyHandler({})" in test[-1]
    elif "wget" in test:
        assert test[test.index("-Y") + 1] == "off"
    else:
        assert name in ("setup", "markdown-dashboard", "exporter")
    assert "ProxyHandler({})" in DOCKERFILE


def test_image_runs_as_an_unprivileged_user() -> None:
    stages = DOCKERFILE.split("\nFROM ")
    assert len(stages) == 3
    last = stages[-1]
    assert re.search(r"^USER (?!0|root)\d+:\d+$", last, re.MULTILINE)
    assert last.index("\nUSER ") < last.index("\nCMD ")
    assert "HEALTHCHECK" in last
    assert "curl" not in DOCKERFILE
    assert "org.opencontainers.image.version" in last
    assert "--require-hashes -r ${LOCK}" in DOCKERFILE
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(\S+)", DOCKERFILE, re.MULTILINE)
    assert ignored[0] == "*"
    assert {f"!{name}" for name in copied} == {line for line in ignored if line.startswith("!")}


def test_setup_replaces_loopback_by_service_names(tmp_path: Path) -> None:
    write_configurations(tmp_path)
    prometheus = yaml.safe_load((tmp_path / "prometheus" / "prometheus.yml").read_text())
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in prometheus["scrape_configs"]}
    assert targets == {
        "starlight-exporter": ["exporter:9877"],
        "prometheus": ["127.0.0.1:9090"],
        "alertmanager": ["alertmanager:9093"],
    }
    assert prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == ["alertmanager:9093"]
    alertmanager = (tmp_path / "alertmanager" / "alertmanager.yml").read_text()
    assert "url: http://notifications:9876/notifications" in alertmanager
    assert sorted(path.name for path in (tmp_path / "prometheus" / "rules").iterdir()) == sorted(
        path.name for path in (ROOT / "prometheus" / "rules").iterdir()
    )
    for file in (ROOT / "grafana" / "dashboards").iterdir():
        assert (tmp_path / "grafana" / "dashboards" / file.name).read_bytes() == file.read_bytes()
    # A second start overwrites them, and removes rules that are no longer shipped.
    (tmp_path / "prometheus" / "rules" / "removed.yml").touch()
    write_configurations(tmp_path)
    assert not (tmp_path / "prometheus" / "rules" / "removed.yml").exists()


def test_password_is_generated_once_and_unique(tmp_path: Path) -> None:
    password = make_password(tmp_path / "a", mode=0o600)
    assert make_password(tmp_path / "a", mode=0o600) == password == (tmp_path / "a").read_text()
    assert make_password(tmp_path / "b", mode=0o600) != password
    assert len(password) >= 20


@pytest.mark.parametrize("mode", [0o600, 0o444])
def test_password_file_has_exactly_the_requested_permissions(tmp_path: Path, mode: int) -> None:
    make_password(tmp_path / "secrets" / "password", mode=mode)
    assert (tmp_path / "secrets" / "password").stat().st_mode & 0o777 == mode
    assert [file.name for file in (tmp_path / "secrets").iterdir()] == ["password"]


def test_native_grafana_password_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "grafana"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    assert grafana.service(ROOT, tmp_path / "data", SHIPPED) is not None
    assert (tmp_path / "data" / "secrets" / GRAFANA_PASSWORD).stat().st_mode & 0o777 == 0o600


def test_setup_runs_as_a_module_and_reports_an_unusable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = subprocess.run(
        [sys.executable, "-m", "stack.containers", str(tmp_path / "file")],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("setup: ")
    assert "Not a directory" in done.stderr


@pytest.mark.parametrize(
    ("given", "run"),
    [
        ("gate --model m.onnx", "starlight gate --model m.onnx"),
        ("--version", "starlight --version"),
        ("starlight-exporter --help", "starlight-exporter --help"),
    ],
)
def test_entry_point_runs_commands_and_programs(tmp_path: Path, given: str, run: str) -> None:
    for name in ("starlight", "starlight-exporter"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho {name} "$@"\nexit 3\n')
        program.chmod(0o755)
    assert 'ENTRYPOINT ["/opt/starlight/stack/entrypoint"]' in DOCKERFILE
    done = subprocess.run(
        [ROOT / "stack" / "entrypoint", *given.split()],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    assert (done.returncode, done.stdout) == (3, f"{run}\n")


def test_entry_point_lists_every_command() -> None:
    text = (ROOT / "stack" / "entrypoint").read_text()
    (listed,) = re.findall(r"^  ([a-z][a-z |]+) \| -\*\)$", text, re.MULTILINE)
    assert set(listed.split(" | ")) == {name.split()[0] for name in COMMANDS}

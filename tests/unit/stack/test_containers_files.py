"""docker-compose.yml, the Dockerfile, and the files of the `setup` service, without a Docker engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack import grafana
from stack.containers import PASSWORD_FILE, make_password, write_configurations
from stack.ports import SHIPPED
from stack.services import DASHBOARD_INTERVAL, RETENTION

ROOT = Path(__file__).resolve().parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()

each_service = pytest.mark.parametrize("name", SERVICES)


@each_service
def test_images_have_exact_versions(name: str) -> None:
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", SERVICES[name]["image"])


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
        assert SERVICES[name]["ports"] == [f"127.0.0.1:${{STARLIGHT_{name.upper()}_PORT:-{port}}}:{port}"]


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
            assert (ROOT / source).exists(), source
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


def test_image_runs_as_an_unprivileged_user() -> None:
    stages = DOCKERFILE.split("\nFROM ")
    assert len(stages) == 3
    last = stages[-1]
    assert re.search(r"^USER (?!0|root)\d+:\d+$", last, re.MULTILINE)
    assert last.index("\nUSER ") < last.index("\nCMD ")
    assert "HEALTHCHECK" in last
    assert "curl" not in DOCKERFILE
    assert "org.opencontainers.image.version" in last
    assert "--require-hashes -r requirements.lock" in DOCKERFILE
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
    # Links are opened in the reader's browser.
    assert prometheus["global"]["external_labels"]["exporter_url"] == "http://127.0.0.1:9877"
    assert prometheus["global"]["external_labels"]["dashboard_base"] == "http://127.0.0.1:3000/d"
    alertmanager = (tmp_path / "alertmanager" / "alertmanager.yml").read_text()
    assert "url: http://notifications:9876/notifications" in alertmanager
    assert sorted(path.name for path in (tmp_path / "prometheus" / "rules").iterdir()) == sorted(
        path.name for path in (ROOT / "prometheus" / "rules").iterdir()
    )
    # A second start overwrites them.
    write_configurations(tmp_path)


def test_password_is_generated_once_and_unique(tmp_path: Path) -> None:
    make_password(tmp_path / "a", mode=0o600)
    password = (tmp_path / "a" / PASSWORD_FILE).read_text()
    make_password(tmp_path / "a", mode=0o600)
    assert (tmp_path / "a" / PASSWORD_FILE).read_text() == password
    make_password(tmp_path / "b", mode=0o600)
    assert (tmp_path / "b" / PASSWORD_FILE).read_text() != password
    assert len(password) >= 20


@pytest.mark.parametrize("mode", [0o600, 0o444])
def test_password_file_has_exactly_the_requested_permissions(tmp_path: Path, mode: int) -> None:
    make_password(tmp_path, mode=mode)
    assert (tmp_path / PASSWORD_FILE).stat().st_mode & 0o777 == mode
    assert [file.name for file in tmp_path.iterdir()] == [PASSWORD_FILE]


def test_native_grafana_password_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "grafana"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    assert grafana.service(ROOT, tmp_path / "data", SHIPPED) is not None
    assert (tmp_path / "data" / "secrets" / PASSWORD_FILE).stat().st_mode & 0o777 == 0o600

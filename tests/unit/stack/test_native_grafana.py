"""An installed `grafana` is started by the native stack with the provisioning of the containers."""

from __future__ import annotations

import json
import os
import string
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack import grafana
from stack.passwords import GRAFANA_PASSWORD
from stack.ports import Ports
from stack.processes import Supervisor
from support.dashboards import FILES
from support.servers import free_port

ROOT = Path(__file__).resolve().parents[3]
PORTS = Ports(exporter=1, prometheus=2, alertmanager=3, notifications=4)

# Records its arguments and environment, and reports healthy.
PROGRAM = """#!{python}
import http.server, json, os, sys

class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()

with open({record!r}, "w") as file:
    json.dump({{"arguments": sys.argv[1:], "environment": dict(os.environ)}}, file)
address = (os.environ["GF_SERVER_HTTP_ADDR"], int(os.environ["GF_SERVER_HTTP_PORT"]))
http.server.HTTPServer(address, Health).serve_forever()
"""


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Arguments and environment that `grafana` was started with."""
    program = tmp_path / "usr" / "bin" / "grafana"
    program.parent.mkdir(parents=True)
    (tmp_path / "usr" / "public").mkdir()
    program.write_text(PROGRAM.format(python=sys.executable, record=str(tmp_path / "record.json")))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    service = grafana.service(ROOT, tmp_path / "data", replace(PORTS, grafana=free_port()))
    assert service is not None
    supervisor = Supervisor(tmp_path / "logs")
    try:
        supervisor.start(service)
        recorded: dict[str, Any] = json.loads((tmp_path / "record.json").read_text())
    finally:
        supervisor.stop()
    return recorded


def test_starts_a_server_with_a_generated_password(started: dict[str, Any], tmp_path: Path) -> None:
    assert started["arguments"] == ["server", f"--homepath={tmp_path / 'usr'}"]
    secret = Path(started["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"])
    assert secret == tmp_path / "data" / "secrets" / GRAFANA_PASSWORD
    assert len(secret.read_text()) >= 20
    assert "GF_SECURITY_ADMIN_PASSWORD" not in started["environment"]


def test_provisioning_is_that_of_the_containers(started: dict[str, Any]) -> None:
    environment = started["environment"]
    provisioning = Path(environment["GF_PATHS_PROVISIONING"])
    assert provisioning == ROOT / "grafana" / "provisioning"
    found = [yaml.safe_load(file.read_text()) for file in sorted(provisioning.glob("*/*.yml"))]

    def filled(value: str) -> str:
        return string.Template(value).substitute(environment)

    urls = {source["uid"]: filled(source["url"]) for content in found for source in content.get("datasources", ())}
    assert urls == {"prometheus": "http://127.0.0.1:2", "alertmanager": "http://127.0.0.1:3"}
    (provider,) = (one for content in found for one in content.get("providers", ()))
    assert sorted(Path(filled(provider["options"]["path"])).glob("*.json")) == sorted(FILES)


def test_settings_equal_those_of_the_container(started: dict[str, Any]) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]["environment"]
    location_dependent = ("PATH", "FILE", "STARLIGHT_", "NO_PROXY")
    same = {name: value for name, value in compose.items() if not any(word in name for word in location_dependent)}
    assert {name: started["environment"].get(name) for name in same} == same


def test_no_service_without_grafana(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert grafana.service(ROOT, tmp_path, PORTS) is None

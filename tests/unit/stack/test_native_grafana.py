"""A `grafana` on the PATH is started by the native stack, with the provisioning that the containers have."""

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
from stack.configuration import Ports
from stack.containers import PASSWORD_FILE
from stack.processes import Supervisor
from support.dashboards import FILES
from support.servers import free_port

ROOT = Path(__file__).resolve().parents[3]
PORTS = Ports(exporter=1, prometheus=2, alertmanager=3, notifications=4)

# Says what it was started with, and is healthy.
PROGRAM = """#!{python}
import http.server, json, os, sys

class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/api/health" else 404)
        self.end_headers()

with open({told!r}, "w") as file:
    json.dump({{"arguments": sys.argv[1:], "environment": dict(os.environ)}}, file)
address = (os.environ["GF_SERVER_HTTP_ADDR"], int(os.environ["GF_SERVER_HTTP_PORT"]))
http.server.HTTPServer(address, Health).serve_forever()
"""


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a `grafana` on the PATH was started with."""
    program = tmp_path / "usr" / "bin" / "grafana"
    program.parent.mkdir(parents=True)
    (tmp_path / "usr" / "public").mkdir()
    program.write_text(PROGRAM.format(python=sys.executable, told=str(tmp_path / "told.json")))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    part = grafana.part(ROOT, tmp_path / "data", replace(PORTS, grafana=free_port()))
    assert part is not None
    supervisor = Supervisor(tmp_path / "logs")
    try:
        supervisor.start(part)
        told: dict[str, Any] = json.loads((tmp_path / "told.json").read_text())
    finally:
        supervisor.stop()
    return told


def test_it_is_started_as_a_server_with_a_password_of_its_own(started: dict[str, Any], tmp_path: Path) -> None:
    assert started["arguments"] == ["server", f"--homepath={tmp_path / 'usr'}"]
    secret = Path(started["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"])
    assert secret == tmp_path / "data" / "secrets" / PASSWORD_FILE
    assert len(secret.read_text()) >= 20
    assert "GF_SECURITY_ADMIN_PASSWORD" not in started["environment"]


def test_its_provisioning_is_that_of_the_containers(started: dict[str, Any]) -> None:
    environment = started["environment"]
    provisioning = Path(environment["GF_PATHS_PROVISIONING"])
    assert provisioning == ROOT / "grafana" / "provisioning"
    found = [yaml.safe_load(file.read_text()) for file in sorted(provisioning.glob("*/*.yml"))]

    def filled(value: str) -> str:
        return string.Template(value).substitute(environment)

    urls = {source["uid"]: filled(source["url"]) for content in found for source in content.get("datasources", ())}
    assert urls == {"prometheus": "http://127.0.0.1:2", "alertmanager": "http://127.0.0.1:3"}
    (provider,) = (one for content in found for one in content.get("providers", ()))
    assert sorted(Path(filled(provider["options"]["path"])).glob("*.json")) == list(FILES)


def test_it_is_set_as_the_container_is(started: dict[str, Any]) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]["environment"]
    of_place = ("PATH", "FILE", "STARLIGHT_")
    same = {name: value for name, value in compose.items() if not any(word in name for word in of_place)}
    assert {name: started["environment"].get(name) for name in same} == same


def test_without_one_there_is_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert grafana.part(ROOT, tmp_path, PORTS) is None

"""The compose project with Debian's Prometheus, Alertmanager and VictoriaMetrics, on free ports.

Needs a Docker engine; tests/containers/engine.sh starts one.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx
import pytest
import yaml

from support.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
PROJECT: Final = "starlight-test"
FILES: Final = ("docker-compose.yml", "docker-compose.long-term.yml", "tests/containers/debian.yml")


def docker(*arguments: str, check: bool = True) -> str:
    """Run the Docker client; return what it printed."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if check:
        assert done.returncode == 0, done.stderr
    return done.stdout


def compose_command() -> list[str]:
    """Return the command of Docker Compose; skip without one."""
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
    """The compose project with the long-term store."""

    def __init__(self, folder: Path) -> None:
        """`folder` gets copies of the mounted directories, which tests may change."""
        self.folder = folder
        for name in ("config", "models"):
            shutil.copytree(ROOT / name, folder / name)
        (folder / "tests").mkdir()
        shutil.copy(ROOT / "tests" / "regression_baselines.json", folder / "tests")
        # The other datasets, and the models for research, would take minutes.
        config = yaml.safe_load((ROOT / "config" / "starlight.yml").read_text())
        config["datasets"] = config["datasets"][:1]
        del config["research"]
        (folder / "config" / "starlight.yml").write_text(yaml.safe_dump(config))
        mounts = [f"{folder / name}:/starlight/{name}:ro" for name in ("config", "models", "tests")]
        override = {"services": {"exporter": {"volumes": mounts}, "setup": {"volumes": mounts[:1]}}}
        (folder / "override.yml").write_text(yaml.safe_dump(override))
        self.ports = {
            name: free_port() for name in ("NOTIFICATIONS", "EXPORTER", "ALERTMANAGER", "PROMETHEUS", "GRAFANA")
        }
        self._environment = os.environ | {f"STARLIGHT_{name}_PORT": str(port) for name, port in self.ports.items()}
        self._command = [
            *compose_command(),
            *("--project-name", PROJECT, "--project-directory", str(ROOT)),
            *(f"--file={ROOT / name}" for name in FILES),
            f"--file={folder / 'override.yml'}",
        ]

    def run(self, *arguments: str) -> str:
        """Run a command of Docker Compose; return what it printed."""
        done = self.script(f"$compose {shlex.join(arguments)}")
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout

    def script(self, text: str, *, seconds: float = 900.0) -> subprocess.CompletedProcess[str]:
        """Run lines of bash, in which `$compose` is the command of this project."""
        return subprocess.run(
            ["bash", "-euc", text.replace("$compose", shlex.join(self._command))],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env=self._environment,
            timeout=seconds,
            cwd=self.folder,
        )

    def inspect(self, service: str) -> dict[str, Any]:
        """Return the state of the container of a service."""
        (found,) = json.loads(docker("inspect", self.run("ps", "-q", service).strip()))
        return dict(found)

    def url(self, name: str) -> str:
        """Return the published URL of a service."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the result of a query in Prometheus."""
        answer = httpx.get(f"{self.url('PROMETHEUS')}/api/v1/query", params={"query": expression}, timeout=10.0)
        return list(answer.raise_for_status().json()["data"]["result"])

    def stored(self, expression: str) -> list[dict[str, Any]]:
        """Return the result of a query in the long-term store, which has no published port."""
        url = f"http://127.0.0.1:8428/api/v1/query?{urlencode({'query': expression})}"
        text = docker("exec", self.inspect("victoria-metrics")["Id"], "wget", "-q", "-Y", "off", "-O", "-", url)
        return list(json.loads(text)["data"]["result"])

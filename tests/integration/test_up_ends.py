"""`scripts/up` as processes, that end before anything started."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stack.configuration import LOOPBACK, Ports
from support.exporter import write_config
from support.servers import free_port, program

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The stack in a folder where nothing is left to be installed, with no Grafana on the PATH."""
    place = tmp_path / "tree"
    shutil.copytree(ROOT / "stack", place / "stack")
    (place / "scripts").mkdir()
    (place / "scripts" / "setup").write_text("#!/bin/sh\n")
    (place / "scripts" / "setup").chmod(0o755)
    for name in ("scripts/notification_log.py", "scripts/mirror_dashboard.py"):
        (place / name).symlink_to(ROOT / name)
    for name in ("alerting", "exporter", "mirror", "prometheus"):
        (place / name).symlink_to(ROOT / name)
    programs = place / "bin"
    programs.mkdir()
    for name in ("prometheus", "prometheus-alertmanager"):
        (programs / name).symlink_to(program(name))
    return place


@pytest.fixture
def ports() -> Ports:
    return Ports(*(free_port() for _ in range(5)))


def command(tree: Path, ports: Ports) -> list[str]:
    config = write_config(tree.parent)
    return [
        *(sys.executable, "-m", "stack", "--native", f"--config={config}", f"--data={tree.parent / 'run'}"),
        *(f"--dataset={tree.parent / 'images'}", f"--model={tree.parent / 'models' / 'model.onnx'}"),
        *(f"--{name}-port={port}" for name, port in ports.named().items()),
    ]


def environment(tree: Path) -> dict[str, str]:
    return os.environ | {"PATH": str(tree / "bin"), "TERM": "xterm", "PYTHONPATH": str(tree)}


def test_another_grafana_on_the_port_is_told_before_anything_starts(tree: Path, ports: Ports) -> None:
    grafana = tree / "bin" / "grafana"
    grafana.write_text("#!/bin/sh\nexit 1\n")
    grafana.chmod(0o755)
    with socket.socket() as other:
        other.bind((LOOPBACK, ports.grafana))
        other.listen()
        done = subprocess.run(
            command(tree, ports), cwd=tree, env=environment(tree), capture_output=True, text=True, check=False
        )
    assert done.returncode == 1
    assert f"port {ports.grafana} (grafana) is in use by another process" in done.stderr
    assert "--grafana-port" in done.stderr
    assert not (tree.parent / "run" / "logs").exists()


def test_a_mistake_in_the_configuration_is_told_before_anything_starts(tree: Path, ports: Ports) -> None:
    words = command(tree, ports)
    (tree.parent / "starlight.yml").write_text("models: [")
    done = subprocess.run(words, cwd=tree, env=environment(tree), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"up: {tree.parent / 'starlight.yml'}: line 1, column 10: ")
    assert "Traceback" not in done.stderr
    assert not (tree.parent / "run").exists()

"""`scripts/up` as processes, ended from outside: by a terminal that is closed, or before anything started."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from stack.configuration import LOOPBACK, Ports
from stack.processes import answers
from support.exporter import write_config
from support.servers import free_port, program

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
PARTS = 5
"""Notification log, Alertmanager, exporter, Prometheus, markdown dashboard."""

IN_ITS_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


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
    for name in ("alerting", "exporter", "prometheus"):
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


@pytest.fixture
def closing() -> Iterator[list[psutil.Process]]:
    """Processes that are gone after the test, whatever it found."""
    found: list[psutil.Process] = []
    yield found
    for process in psutil.wait_procs(found, timeout=0)[1]:
        process.kill()


def wait_for_line(terminal: int, words: str, process: subprocess.Popen[bytes]) -> None:
    """Read what a process writes to its terminal until these words come."""
    deadline, text = time.monotonic() + 120, b""
    while words.encode() not in text:
        assert process.poll() is None, text.decode()
        assert time.monotonic() < deadline, text.decode()
        if select.select([terminal], [], [], 0.2)[0]:
            text += os.read(terminal, 65536)


def test_a_terminal_that_is_closed_leaves_no_part_behind(
    tree: Path, ports: Ports, closing: list[psutil.Process]
) -> None:
    ours, its = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", IN_ITS_TERMINAL, *command(tree, ports)],
        stdin=its,
        stdout=its,
        stderr=its,
        cwd=tree,
        env=environment(tree),
        start_new_session=True,
    )
    os.close(its)
    supervisor = psutil.Process(process.pid)
    closing.append(supervisor)
    try:
        wait_for_line(ours, "running; Ctrl-C stops everything", process)
        parts = supervisor.children()
        closing += supervisor.children(recursive=True)
        assert len(parts) == PARTS
    finally:
        os.close(ours)
    process.wait(60)
    assert psutil.wait_procs(parts, timeout=5)[1] == []
    assert not answers(f"http://{LOOPBACK}:{ports.exporter}/-/healthy")


def test_a_hang_up_that_nohup_has_ignored_stays_so(
    tree: Path, ports: Ports, closing: list[psutil.Process], tmp_path: Path
) -> None:
    with (tmp_path / "out.log").open("wb") as log:
        process = subprocess.Popen(
            [program("nohup"), *command(tree, ports)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=tree,
            env=environment(tree),
        )  # fmt: skip
    supervisor = psutil.Process(process.pid)
    closing.append(supervisor)
    deadline = time.monotonic() + 120
    while b"running; Ctrl-C" not in (tmp_path / "out.log").read_bytes():
        assert process.poll() is None, (tmp_path / "out.log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.2)
    closing += supervisor.children(recursive=True)
    supervisor.send_signal(signal.SIGHUP)
    time.sleep(2)
    assert process.poll() is None
    process.terminate()
    assert process.wait(60) == 0


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

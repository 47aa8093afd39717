"""The native stack: stopped by a closed terminal, immune to SIGHUP under nohup, strict about its configuration."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from stack.ports import LOOPBACK, Ports
from stack.processes import answers
from support.exporter import write_config
from support.servers import free_port, program
from support.waiting import wait_until

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
SERVICES = 6
"""Notification log, Alertmanager, its proxy, exporter, Prometheus, markdown dashboard."""

WITH_CONTROLLING_TERMINAL = (
    "import fcntl, os, signal, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    # A test run in the background may have inherited ignored signals.
    "signal.signal(signal.SIGHUP, signal.SIG_DFL); signal.signal(signal.SIGINT, signal.SIG_DFL);"
    "os.execv(sys.argv[1], sys.argv[1:])"
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the stack with a `scripts/setup` that installs nothing, and a PATH without Grafana.

    The name of its folder has a meaning in YAML and in patterns of file names.
    """
    place = tmp_path / """a [b] #1: {c} *?, & 'd' "ö" %s \\""" / "tree"
    shutil.copytree(ROOT / "stack", place / "stack")
    (place / "scripts").mkdir()
    (place / "scripts" / "setup").write_text("#!/bin/sh\n")
    (place / "scripts" / "setup").chmod(0o755)
    (place / "scripts" / "notification_log.py").symlink_to(ROOT / "scripts" / "notification_log.py")
    for name in ("alerting", "exporter", "prometheus"):
        (place / name).symlink_to(ROOT / name)
    programs = tmp_path / "bin"
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
        *(f"--{name}-port={port}" for name, port in ports.by_service().items()),
    ]


def programs(tree: Path) -> Path:
    # PATH is separated by colons.
    return tree.parents[1] / "bin"


def environment(tree: Path) -> dict[str, str]:
    # The stack itself is found in the working directory. Nothing on loopback is requested through the proxy.
    return os.environ | {
        "PATH": str(programs(tree)),
        "TERM": "xterm",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'exporter'}",
        **dict.fromkeys(("http_proxy", "HTTP_PROXY", "ALL_PROXY"), "http://127.0.0.1:9"),
    }


@pytest.fixture
def closing() -> Iterator[list[psutil.Process]]:
    """Processes to kill after the test."""
    found: list[psutil.Process] = []
    yield found
    for process in psutil.wait_procs(found, timeout=0)[1]:
        process.kill()


def wait_for_line(terminal: int, words: str, process: subprocess.Popen[bytes]) -> None:
    """Read a process's terminal until these words appear."""
    text = b""

    def found() -> bool:
        nonlocal text
        assert process.poll() is None, text.decode()
        if select.select([terminal], [], [], 0)[0]:
            text += os.read(terminal, 65536)
        return words.encode() in text

    wait_until(found, f"{words!r} in the terminal")


def test_closed_terminal_stops_all_services(tree: Path, ports: Ports, closing: list[psutil.Process]) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", WITH_CONTROLLING_TERMINAL, *command(tree, ports)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=tree,
        env=environment(tree),
        start_new_session=True,
    )
    os.close(slave)
    supervisor = psutil.Process(process.pid)
    closing.append(supervisor)
    try:
        wait_for_line(master, "running; Ctrl-C stops everything", process)
        services = supervisor.children()
        closing += supervisor.children(recursive=True)
        assert len(services) == SERVICES
        require_no_lifecycle_api(f"http://{LOOPBACK}:{ports.prometheus}")
        require_no_silence_by_other_sites(f"http://{LOOPBACK}:{ports.alertmanager}")
        require_links(f"http://{LOOPBACK}:{ports.prometheus}", ports)
    finally:
        os.close(master)
    process.wait(60)
    assert psutil.wait_procs(services, timeout=5)[1] == []
    assert not answers(f"http://{LOOPBACK}:{ports.exporter}/-/healthy")


def test_ignores_sighup_under_nohup(tree: Path, ports: Ports, closing: list[psutil.Process], tmp_path: Path) -> None:
    with (tmp_path / "out.log").open("wb") as log:
        process = subprocess.Popen(
            [program("nohup"), *command(tree, ports)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=tree,
            env=environment(tree),
        )  # fmt: skip
    supervisor = psutil.Process(process.pid)
    closing.append(supervisor)

    def running() -> bool:
        assert process.poll() is None, (tmp_path / "out.log").read_text()
        return b"running; Ctrl-C" in (tmp_path / "out.log").read_bytes()

    wait_until(running, "all services started")
    closing += supervisor.children(recursive=True)
    assert ignores(process.pid, signal.SIGHUP)
    supervisor.send_signal(signal.SIGHUP)
    assert answers(f"http://{LOOPBACK}:{ports.exporter}/-/healthy")
    assert process.poll() is None
    process.terminate()
    assert process.wait(60) == 0


def require_no_lifecycle_api(prometheus: str) -> None:
    """Assert that a web page can neither end Prometheus nor read its API."""
    with httpx.Client(trust_env=False) as client:
        for path in ("quit", "reload"):
            assert client.post(f"{prometheus}/-/{path}").status_code == 403
        foreign = client.get(f"{prometheus}/api/v1/status/config", headers={"Origin": "http://attacker.example"})
        assert foreign.status_code == 200
        assert "access-control-allow-origin" not in foreign.headers


def require_no_silence_by_other_sites(alertmanager: str) -> None:
    """Assert that a web page can neither read nor silence alerts."""
    foreign = {"Origin": "http://attacker.example"}
    with httpx.Client(trust_env=False) as client:
        assert client.get(f"{alertmanager}/api/v2/status").status_code == 200
        assert "access-control-allow-origin" not in client.get(f"{alertmanager}/api/v2/status", headers=foreign).headers
        assert client.post(f"{alertmanager}/api/v2/silences", headers=foreign, json={}).status_code == 403


def require_links(prometheus: str, ports: Ports) -> None:
    """Assert that links in alerts lead to the ports of this stack."""
    with httpx.Client(trust_env=False) as client:
        answer = client.get(f"{prometheus}/api/v1/query", params={"query": "starlight_exporter_build_info"}).json()
    (build,) = answer["data"]["result"]
    assert build["metric"]["external_url"] == f"http://{LOOPBACK}:{ports.exporter}/"


def test_start_fails_if_prometheus_loads_fewer_rules(tree: Path, ports: Ports) -> None:
    stack = tree / "stack" / "services.py"
    # Without the relative path, Prometheus takes the folder's name for a pattern.
    text = stack.read_text().replace("--config.file={config.name}", "--config.file={config}")
    assert text.count("--config.file={config}") == 3
    stack.write_text(text)
    (tree / "stack" / "loaded.py").write_text(
        (tree / "stack" / "loaded.py").read_text().replace("LOAD_SECONDS = 30.0", "LOAD_SECONDS = 1.0")
    )
    done = subprocess.run(
        command(tree, ports), cwd=tree, env=environment(tree), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert re.search(
        r"up: Prometheus has loaded 0 rules in 0 groups; the files contain \d\d+ rules in \d+ groups", done.stderr
    )


def ignores(pid: int, number: signal.Signals) -> bool:
    """Whether a process ignores a signal, from the mask in /proc."""
    status = Path(f"/proc/{pid}/status").read_text()
    mask = next(line for line in status.splitlines() if line.startswith("SigIgn:")).split()[1]
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_reports_a_grafana_port_in_use_before_starting_services(tree: Path, ports: Ports) -> None:
    grafana = programs(tree) / "grafana"
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


def test_reports_a_configuration_error_before_starting_services(tree: Path, ports: Ports) -> None:
    words = command(tree, ports)
    (tree.parent / "starlight.yml").write_text("models: [")
    done = subprocess.run(words, cwd=tree, env=environment(tree), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"up: {tree.parent / 'starlight.yml'}: line 1, column 10: ")
    assert "Traceback" not in done.stderr
    assert not (tree.parent / "run").exists()

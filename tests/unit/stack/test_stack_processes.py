"""The supervisor starts services, notices their exit, and stops all of them."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.errors import StackError
from stack.processes import Service, Supervisor, answers
from support.waiting import wait_until


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path)
    yield made
    made.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def server(name: str, port: int) -> Service:
    url = f"http://127.0.0.1:{port}/"
    return Service(name, (sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)), url, url)


def test_starts_and_stops_a_service(supervisor: Supervisor) -> None:
    service = server("web", free_port())
    assert service.ready_url is not None
    supervisor.start(service)
    assert answers(service.location)
    supervisor.stop()
    assert not answers(service.location)


def test_service_without_url_is_ready_when_it_runs(supervisor: Supervisor) -> None:
    supervisor.start(Service("quiet", (sys.executable, "-c", "import time; time.sleep(60)"), None, "a file"))
    supervisor.check()


def test_sends_a_signal_to_the_named_service_only(supervisor: Supervisor, tmp_path: Path) -> None:
    def service(name: str) -> Service:
        received, ready = tmp_path / f"{name}.received", tmp_path / f"{name}.ready"
        code = (
            "import pathlib, signal, time;"
            f"signal.signal(signal.SIGHUP, lambda *_: pathlib.Path({str(received)!r}).touch());"
            f"pathlib.Path({str(ready)!r}).touch();"
            "[time.sleep(0.05) for _ in range(1200)]"
        )
        return Service(name, (sys.executable, "-c", code), None, name)

    for name in ("one", "other"):
        supervisor.start(service(name))
        wait_until((tmp_path / f"{name}.ready").exists, f"{name} is ready")
    supervisor.send("one", signal.SIGHUP)
    wait_until((tmp_path / "one.received").exists, "the signal")
    assert not (tmp_path / "other.received").exists()


def test_reports_the_last_log_line_of_a_service_that_exits_at_start(supervisor: Supervisor) -> None:
    service = Service("broken", (sys.executable, "-c", "raise SystemExit('no such flag')"), "http://127.0.0.1:9/", "")
    with pytest.raises(StackError, match=r"broken exited with code 1: no such flag \(log: .*broken\.log\)"):
        supervisor.start(service)


def test_reports_a_missing_program_in_one_line(supervisor: Supervisor) -> None:
    with pytest.raises(StackError, match="ghost: cannot run /nonexistent: No such file"):
        supervisor.start(Service("ghost", ("/nonexistent",), "http://127.0.0.1:9/", ""))


def test_notices_a_service_that_exits_later(supervisor: Supervisor) -> None:
    port = free_port()
    code = (
        "import http.server, threading, os;"
        f"s = http.server.HTTPServer(('127.0.0.1', {port}), http.server.SimpleHTTPRequestHandler);"
        "threading.Timer(1.5, lambda: os._exit(3)).start(); s.serve_forever()"
    )
    url = f"http://127.0.0.1:{port}/"
    supervisor.start(Service("mortal", (sys.executable, "-c", code), url, url))
    with pytest.raises(StackError, match="mortal exited with code 3"):
        wait_until(supervisor.check, "an error of the supervisor")


def test_kills_a_service_that_ignores_sigterm(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("stack.processes.STOP_SECONDS", 0.5)
    port = free_port()
    pid_file = tmp_path / "pid"
    code = (
        "import http.server, signal, os, pathlib; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()));"
        f"http.server.HTTPServer(('127.0.0.1', {port}), http.server.SimpleHTTPRequestHandler).serve_forever()"
    )
    url = f"http://127.0.0.1:{port}/"
    supervisor.start(Service("stubborn", (sys.executable, "-c", code), url, url))
    supervisor.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)

"""Parts are started until they answer, their end is noticed, and they are stopped with nothing left behind."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.processes import Part, StackError, Supervisor, answers


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path)
    yield made
    made.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def server(name: str, port: int) -> Part:
    url = f"http://127.0.0.1:{port}/"
    return Part(name, (sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)), url, url)


def test_a_started_part_answers_and_a_stopped_one_does_not(supervisor: Supervisor) -> None:
    part = server("web", free_port())
    assert part.ready_url is not None
    supervisor.start(part)
    assert answers(part.page_url)
    supervisor.stop()
    assert not answers(part.page_url)


def test_a_part_that_serves_nothing_is_ready_when_it_runs(supervisor: Supervisor) -> None:
    supervisor.start(Part("quiet", (sys.executable, "-c", "import time; time.sleep(60)"), None, "a file"))
    supervisor.check()


def test_a_part_that_dies_at_once_is_reported_with_its_last_words(supervisor: Supervisor) -> None:
    part = Part("broken", (sys.executable, "-c", "raise SystemExit('no such flag')"), "http://127.0.0.1:9/", "")
    with pytest.raises(StackError, match=r"broken ended with code 1: no such flag \(log: .*broken\.log\)"):
        supervisor.start(part)


def test_a_program_that_is_not_there_is_one_line(supervisor: Supervisor) -> None:
    with pytest.raises(StackError, match="ghost: cannot run /nonexistent: No such file"):
        supervisor.start(Part("ghost", ("/nonexistent",), "http://127.0.0.1:9/", ""))


def test_a_part_that_dies_later_is_noticed(supervisor: Supervisor) -> None:
    port = free_port()
    code = (
        "import http.server, threading, os;"
        f"s = http.server.HTTPServer(('127.0.0.1', {port}), http.server.SimpleHTTPRequestHandler);"
        "threading.Timer(1.5, lambda: os._exit(3)).start(); s.serve_forever()"
    )
    url = f"http://127.0.0.1:{port}/"
    supervisor.start(Part("mortal", (sys.executable, "-c", code), url, url))
    with pytest.raises(StackError, match="mortal ended with code 3"):
        check_for(supervisor, seconds=20)


def check_for(supervisor: Supervisor, *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        supervisor.check()
        time.sleep(0.1)


def test_a_part_that_ignores_the_request_to_end_is_killed(
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
    supervisor.start(Part("stubborn", (sys.executable, "-c", code), url, url))
    supervisor.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)

"""The server process: signals, and connections without requests."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from starlight_exporter.listen_address import listen
from starlight_exporter.runs.application import Application
from starlight_exporter.web import server
from starlight_exporter.web.app import create_app
from starlight_exporter.web.server import serve
from support.web import LocalServer, idle_application


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    handled = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in handled]
    yield
    for number, handler in zip(handled, before, strict=True):
        signal.signal(number, handler)


class FailingReload(Application):
    """Receives SIGHUP after the start and after each of two reloads, then SIGTERM; every reload fails unexpectedly."""

    reloads = 0

    def start(self) -> None:
        super().start()
        os.kill(os.getpid(), signal.SIGHUP)

    def reload(self) -> None:
        self.reloads += 1
        os.kill(os.getpid(), signal.SIGHUP if self.reloads < 3 else signal.SIGTERM)
        raise OSError(5, "Input/output error")


def test_unexpected_error_during_reload_does_not_stop_the_exporter(tmp_path: Path) -> None:
    idle_application(tmp_path)
    application = FailingReload(tmp_path / "starlight.yml")
    with capture_logs() as logs:
        code = serve(application, create_app(application, lifecycle=False, users=None), listen("127.0.0.1", 0), None)
    assert code == 0
    assert application.reloads == 3
    assert [log["log_level"] for log in logs if "reload" in log["event"]] == ["error"] * 3


def test_connection_without_a_request_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "FIRST_REQUEST_SECONDS", 0.5)
    with (
        LocalServer(idle_application(tmp_path)) as served,
        socket.create_connection(("127.0.0.1", served.port), timeout=60) as idle,
    ):
        began = time.monotonic()
        assert idle.recv(100) == b""
        assert time.monotonic() - began > 0.3


def test_connection_is_kept_open_after_the_first_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "FIRST_REQUEST_SECONDS", 0.5)
    with (
        LocalServer(idle_application(tmp_path)) as served,
        socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection,
    ):
        connection.sendall(b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while not received.endswith(b"healthy\n"):
            received += connection.recv(1000)
        connection.settimeout(0.8)
        with pytest.raises(TimeoutError):
            connection.recv(1)

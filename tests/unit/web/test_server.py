"""The server process: signals and reloads."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from starlight_exporter.listen_address import listen
from starlight_exporter.runs.application import Application
from starlight_exporter.web.app import create_app
from starlight_exporter.web.server import serve
from support.web import LocalServer, idle_application, local_site, no_web_config


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
        web_config = no_web_config()
        web = create_app(application, lifecycle=False, site=local_site(), web_config=web_config)
        code = serve(application, web, listen("127.0.0.1", 0), web_config)
    assert code == 0
    assert application.reloads == 3
    assert [log["log_level"] for log in logs if "reload" in log["event"]] == ["error"] * 3


def test_reload_of_a_pipe_is_an_error_at_once(tmp_path: Path) -> None:
    application = idle_application(tmp_path)
    file = tmp_path / "starlight.yml"
    file.unlink()
    os.mkfifo(file)
    with LocalServer(application, lifecycle=True) as server:
        answer = httpx.post(f"{server.url}/-/reload", timeout=30)
        assert answer.status_code == 500
        assert answer.text == f"not reloaded: {file}: cannot be read: is a named pipe, not a regular file\n"
        assert httpx.get(f"{server.url}/-/healthy").status_code == 200

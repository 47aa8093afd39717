"""How the process takes its signals."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from starlight_exporter.listen_address import listen
from starlight_exporter.runs.application import Application
from starlight_exporter.web.app import create_app
from starlight_exporter.web.server import serve
from support.web import idle_application


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    handled = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(number) for number in handled]
    yield
    for number, handler in zip(handled, before, strict=True):
        signal.signal(number, handler)


class Faulty(Application):
    """Meets a disk that fails in the middle of a reload."""

    then: Callable[[], None]

    def reload(self) -> None:
        self.then()
        raise OSError(5, "Input/output error")


def test_a_reload_that_fails_in_an_unexpected_way_ends_nothing(tmp_path: Path) -> None:
    idle_application(tmp_path)
    application = Faulty(tmp_path / "starlight.yml")
    reloads: list[int] = []

    def next_signal() -> None:
        reloads.append(len(reloads))
        os.kill(os.getpid(), signal.SIGHUP if len(reloads) < 3 else signal.SIGTERM)

    application.then = next_signal
    threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGHUP)).start()
    with capture_logs() as logs:
        code = serve(application, create_app(application, lifecycle=False, users=None), listen("127.0.0.1", 0), None)
    assert code == 0
    assert len(reloads) == 3
    assert [log["log_level"] for log in logs if "reload" in log["event"]] == ["error"] * 3

"""The exporter's HTTP side in this process, over real sockets, on whatever state a test puts together."""

from __future__ import annotations

import ssl
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from starlight_exporter.listen_address import listen
from starlight_exporter.publish.snapshot import Snapshot
from starlight_exporter.runs.application import Application
from starlight_exporter.web.app import create_app
from starlight_exporter.web.authentication import Users
from starlight_exporter.web.server import http_server
from support.waiting import wait_until

CONFIG = """
models: [{name: production, file: model.onnx, role: production}]
datasets: [{name: reference, path: images}]
paths: {runbooks: runbooks}
"""


def idle_application(folder: Path, snapshot: Snapshot | None = None) -> Application:
    """An application that is not started: it watches nothing, runs nothing, and shows this snapshot."""
    file = folder / "starlight.yml"
    file.write_text(CONFIG)
    application = Application(file)
    if snapshot is not None:
        application.state.update(lambda _: snapshot)
    return application


class LocalServer:
    """Serves an application on a free loopback port until the end of the block."""

    def __init__(
        self,
        application: Application,
        *,
        lifecycle: bool = False,
        users: Users | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._listener = listen("127.0.0.1", 0)
        self.port = int(self._listener.getsockname()[1])
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"
        self._server = http_server(create_app(application, lifecycle=lifecycle, users=users), tls)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]})

    def __enter__(self) -> Self:
        self._thread.start()

        def started() -> bool:
            assert self._thread.is_alive(), "the server thread has ended"
            return self._server.started

        wait_until(started, "HTTP server started", interval=0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(60)
        assert not self._thread.is_alive()

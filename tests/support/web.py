"""The exporter's HTTP side in this process, over real sockets, on whatever state a test puts together."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml
from starlette.types import ASGIApp

from starlight_exporter.listen_address import listen
from starlight_exporter.publish.snapshot import Snapshot
from starlight_exporter.runs.application import Application
from starlight_exporter.web.active_web_config import ActiveWebConfig
from starlight_exporter.web.app import create_app
from starlight_exporter.web.connections import ConnectionLimits
from starlight_exporter.web.server import http_server
from starlight_exporter.web.site import Site, make_site
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


def write_users(folder: Path, hashes: dict[str, str]) -> Path:
    """Write a web configuration with users and their bcrypt hashes."""
    file = folder / "web.yml"
    file.write_text(yaml.safe_dump({"basic_auth_users": hashes}))
    return file


def local_site() -> Site:
    """Return the site without flags."""
    return make_site(None, None, frozenset())


def no_web_config() -> ActiveWebConfig:
    """Return plain HTTP without authentication."""
    return ActiveWebConfig(None, report=lambda _successful: None)


class AsgiServer:
    """Serves an ASGI application on a free loopback port until the end of the block."""

    def __init__(self, app: ASGIApp, web_config: ActiveWebConfig, limits: ConnectionLimits | None = None) -> None:
        self._listener = listen("127.0.0.1", 0)
        self.port = int(self._listener.getsockname()[1])
        self.url = f"{'https' if web_config.has_tls else 'http'}://127.0.0.1:{self.port}"
        self._server = http_server(app, web_config, limits)
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


class LocalServer(AsgiServer):
    """Serves an application of the exporter on a free loopback port until the end of the block."""

    def __init__(
        self,
        application: Application,
        *,
        lifecycle: bool = False,
        site: Site | None = None,
        web_config: Path | None = None,
        limits: ConnectionLimits | None = None,
    ) -> None:
        active = ActiveWebConfig(web_config, report=application.report_web_config)
        super().__init__(
            create_app(application, lifecycle=lifecycle, site=site or local_site(), web_config=active), active, limits
        )

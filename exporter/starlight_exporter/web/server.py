"""The server process: serve HTTP in a thread, reload on SIGHUP, shut down on SIGTERM and SIGINT."""

from __future__ import annotations

import gc
import math
import queue
import signal
import socket
import threading
from types import FrameType
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp

from starlight_exporter.errors import ConfigError
from starlight_exporter.listen_address import format_address
from starlight_exporter.runs.application import Application
from starlight_exporter.web.acceptor import Acceptor, TlsContexts
from starlight_exporter.web.active_web_config import ActiveWebConfig
from starlight_exporter.web.connections import ConnectionLimits, Connections, default_limits
from starlight_exporter.web.http_protocol import HttpProtocol
from starlight_exporter.web.reload import reload_all

_log = structlog.get_logger(__name__)
_SERVER_STOPPED = 0

DRAIN_SECONDS = 5
MAX_HEAD_BYTES = 16 * 1024
CHECKED_TICKS = 5
"""Connections are checked every 0.5 s."""


def serve(application: Application, web: ASGIApp, listener: socket.socket, web_config: ActiveWebConfig) -> int:
    """Run until SIGTERM or SIGINT, reload on SIGHUP, and return the exit code."""
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()

    def enqueue(number: int, _frame: FrameType | None) -> None:
        signals.put(number)

    for handled in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(handled, enqueue)
    server = http_server(web, web_config)

    def run() -> None:
        try:
            server.run(sockets=[listener])
        finally:
            # An exporter without its HTTP server must exit, whatever ended the server.
            signals.put(_SERVER_STOPPED)

    thread = threading.Thread(target=run, name="http", daemon=True)
    application.start()
    thread.start()
    # Imported modules are never freed. Excluding them from full collections keeps scrape times constant.
    gc.freeze()
    host, port = listener.getsockname()[:2]
    _log.info("listening", address=format_address(host, port), tls=web_config.has_tls)
    while (number := signals.get()) == signal.SIGHUP:
        try:
            reload_all(application, web_config)
        except ConfigError:
            # Logged and exposed as a metric; the previous configuration stays active.
            continue
        except Exception:  # noqa: BLE001  # boundary of the signal: an unexpected error must not stop the exporter
            _log.exception("unexpected error during reload, configuration partially applied")
    if number == _SERVER_STOPPED:
        _log.error("stopping: the HTTP server has stopped")
    else:
        _log.info("stopping", signal=signal.Signals(number).name)
    application.stop()
    server.should_exit = True
    thread.join(DRAIN_SECONDS + 5)
    return 1 if number == _SERVER_STOPPED else 0


def http_server(web: ASGIApp, web_config: ActiveWebConfig, limits: ConnectionLimits | None = None) -> uvicorn.Server:
    """Return a uvicorn server without logs of its own and with limits per connection."""
    connections = Connections(limits or default_limits())
    config = uvicorn.Config(
        web,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_keep_alive=math.ceil(connections.limits.idle),
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        http=HttpProtocol,
        ws="none",
    )
    return _Server(config, connections, web_config if web_config.has_tls else None)


class _Server(uvicorn.Server):
    """A uvicorn server with its own acceptor and a bounded table of connections."""

    def __init__(self, config: uvicorn.Config, connections: Connections, tls: TlsContexts | None) -> None:
        super().__init__(config)
        self._connections = connections
        self._tls = tls

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections of the sockets; they are listening."""
        await self.lifespan.startup()

        def protocol() -> HttpProtocol:
            return HttpProtocol(self.config, self.server_state, self._connections)

        acceptors: list[Any] = [
            Acceptor(listener, self._connections, protocol, self._tls) for listener in sockets or []
        ]
        self.servers = acceptors
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        """Abort the connections that exceed a limit, and return whether to stop. uvicorn calls this every 0.1 s."""
        if counter % CHECKED_TICKS == 0:
            self._connections.abort_overdue()
        return await super().on_tick(counter)

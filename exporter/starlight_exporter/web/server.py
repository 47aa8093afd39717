"""The process: binds the address, serves in a thread, and turns signals into reload and shutdown."""

from __future__ import annotations

import asyncio
import gc
import queue
import signal
import socket
import ssl
import threading
from types import FrameType
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from starlight_exporter.errors import ConfigError
from starlight_exporter.listen_address import format_address
from starlight_exporter.runs.application import Application

_log = structlog.get_logger(__name__)
_SERVER_ENDED = 0

DRAIN_SECONDS = 5
FIRST_REQUEST_SECONDS = 20.0
MAX_CONNECTIONS = 200


def serve(application: Application, web: ASGIApp, listener: socket.socket, tls: ssl.SSLContext | None) -> int:
    """Run until SIGTERM or SIGINT; SIGHUP reloads. Returns the exit code."""
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()

    def remember(number: int, _frame: FrameType | None) -> None:
        signals.put(number)

    for handled in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(handled, remember)
    server = http_server(web, tls)

    def run() -> None:
        try:
            server.run(sockets=[listener])
        finally:
            # Whatever ended it: an exporter that nobody can scrape must not go on in silence.
            signals.put(_SERVER_ENDED)

    thread = threading.Thread(target=run, name="http", daemon=True)
    application.start()
    thread.start()
    # What was imported stays for life; leaving it out of full collections keeps scrapes even.
    gc.freeze()
    host, port = listener.getsockname()[:2]
    _log.info("listening", address=format_address(host, port), tls=tls is not None)
    while (number := signals.get()) == signal.SIGHUP:
        try:
            application.reload()
        except ConfigError:
            # Logged and shown as a metric; the configuration before stays in force.
            continue
        except Exception:  # noqa: BLE001  # the signal's last boundary: scrapes go on, whatever a reload meets
            _log.exception("configuration reloaded in part: an unexpected error")
    if number == _SERVER_ENDED:
        _log.error("stopping: the HTTP server has ended")
    else:
        _log.info("stopping", signal=signal.Signals(number).name)
    application.stop()
    server.should_exit = True
    thread.join(DRAIN_SECONDS + 5)
    return 1 if number == _SERVER_ENDED else 0


class _Protocol(H11Protocol):
    """uvicorn's, but a connection that asks for nothing is closed: idle ones would use up all there may be."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # The timer that uvicorn starts after each response, here before the first request.
        self.timeout_keep_alive_task = self.loop.call_later(FIRST_REQUEST_SECONDS, self.timeout_keep_alive_handler)


def http_server(web: ASGIApp, tls: ssl.SSLContext | None) -> uvicorn.Server:
    """A server that logs as everything else does and bounds what a connection may cost."""
    options: dict[str, Any] = {}
    if tls is not None:
        options["ssl_context_factory"] = lambda _config, _default: tls
    config = uvicorn.Config(
        web,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_keep_alive=65,
        h11_max_incomplete_event_size=16 * 1024,
        limit_concurrency=MAX_CONNECTIONS,
        http=_Protocol,
        ws="none",
        **options,
    )
    return uvicorn.Server(config)

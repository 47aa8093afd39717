"""The server process: serve HTTP in a thread, reload on SIGHUP, shut down on SIGTERM and SIGINT."""

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
_SERVER_STOPPED = 0

DRAIN_SECONDS = 5
FIRST_REQUEST_SECONDS = 20.0
MAX_CONNECTIONS = 200


def serve(application: Application, web: ASGIApp, listener: socket.socket, tls: ssl.SSLContext | None) -> int:
    """Run until SIGTERM or SIGINT, reload on SIGHUP, and return the exit code."""
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()

    def enqueue(number: int, _frame: FrameType | None) -> None:
        signals.put(number)

    for handled in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(handled, enqueue)
    server = http_server(web, tls)

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
    _log.info("listening", address=format_address(host, port), tls=tls is not None)
    while (number := signals.get()) == signal.SIGHUP:
        try:
            application.reload()
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


class _Protocol(H11Protocol):
    """Close connections without a first request; idle ones would exhaust MAX_CONNECTIONS."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # uvicorn starts this timer only after a response; here it also runs before the first request.
        self.timeout_keep_alive_task = self.loop.call_later(FIRST_REQUEST_SECONDS, self.timeout_keep_alive_handler)


def http_server(web: ASGIApp, tls: ssl.SSLContext | None) -> uvicorn.Server:
    """Return a uvicorn server without logs of its own and with limits per connection."""
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

"""The process: binds the address, serves in a thread, and turns signals into reload and shutdown."""

from __future__ import annotations

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
from starlette.applications import Starlette

from exporter.errors import ConfigError
from exporter.service.app import Application

_log = structlog.get_logger(__name__)

DRAIN_SECONDS = 5


def bind(address: str) -> socket.socket:
    """A listening socket on `host:port`, `[v6]:port` or `:port`; ConfigError says what is wrong with the address."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"--web.listen-address: expected host:port, got {address!r}")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, int(port)))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ConfigError(f"--web.listen-address: cannot listen on {address}: {error.strerror}") from error
    return listener


def serve(application: Application, web: Starlette, listener: socket.socket, tls: ssl.SSLContext | None) -> int:
    """Run until SIGTERM or SIGINT; SIGHUP reloads. Returns the exit code."""
    signals: queue.SimpleQueue[int] = queue.SimpleQueue()

    def remember(number: int, _frame: FrameType | None) -> None:
        signals.put(number)

    for handled in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(handled, remember)
    server = uvicorn.Server(_uvicorn_config(web, tls))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="http", daemon=True)
    application.start()
    thread.start()
    # What was imported stays for life; leaving it out of full collections keeps scrapes even.
    gc.freeze()
    host, port = listener.getsockname()[:2]
    _log.info("listening", address=f"{host}:{port}", tls=tls is not None)
    while (number := signals.get()) == signal.SIGHUP:
        try:
            application.reload()
        except ConfigError:
            # Logged and shown as a metric; the configuration before stays in force.
            continue
    _log.info("stopping", signal=signal.Signals(number).name)
    application.stop()
    server.should_exit = True
    thread.join(DRAIN_SECONDS + 5)
    return 0


def _uvicorn_config(web: Starlette, tls: ssl.SSLContext | None) -> uvicorn.Config:
    options: dict[str, Any] = {}
    if tls is not None:
        options["ssl_context_factory"] = lambda _config, _default: tls
    return uvicorn.Config(
        web,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_keep_alive=65,
        h11_max_incomplete_event_size=16 * 1024,
        limit_concurrency=200,
        http="h11",
        ws="none",
        **options,
    )

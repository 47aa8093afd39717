"""The server process: serve HTTP in a thread, reload on SIGHUP, shut down on SIGTERM and SIGINT."""

from __future__ import annotations

import gc
import signal
import socket
import sys
import threading
from typing import Final

import structlog
import uvicorn
from starlette.types import ASGIApp

from starlight_exporter.errors import ConfigError
from starlight_exporter.listen_address import format_address
from starlight_exporter.runs.application import Application
from starlight_exporter.signals import SignalReceiver
from starlight_exporter.web.active_web_config import ActiveWebConfig
from starlight_exporter.web.bounded_server import DRAIN_SECONDS, bounded_server
from starlight_exporter.web.connections import ConnectionLimits
from starlight_exporter.web.reload import reload_all

_SWITCH_SECONDS: Final = 0.0005
"""Longest time that a thread which stores or compares results delays a step of a request; Python's default is 5 ms."""

_log = structlog.get_logger(__name__)


def serve(application: Application, web: ASGIApp, listener: socket.socket, web_config: ActiveWebConfig) -> int:
    """Run until SIGTERM or SIGINT, reload on SIGHUP, and return the exit code."""
    with SignalReceiver((signal.SIGTERM, signal.SIGINT, signal.SIGHUP)) as signals:
        server = http_server(web, web_config)

        def run() -> None:
            try:
                server.run(sockets=[listener])
            finally:
                # An exporter without its HTTP server must exit, whatever ended the server.
                signals.wake()

        thread = threading.Thread(target=run, name="http", daemon=True)
        application.start()
        thread.start()
        sys.setswitchinterval(_SWITCH_SECONDS)
        # Imported modules are never freed. Excluding them from full collections keeps scrape times constant.
        gc.freeze()
        host, port = listener.getsockname()[:2]
        _log.info("listening", address=format_address(host, port), tls=web_config.has_tls)
        while (received := signals.wait()) == signal.SIGHUP:
            _reload(application, web_config)
        if received is None:
            _log.error("stopping: the HTTP server has stopped")
        else:
            _log.info("stopping", signal=received.name)
        application.stop()
        server.should_exit = True
        thread.join(DRAIN_SECONDS + 5)
    return 1 if received is None else 0


def _reload(application: Application, web_config: ActiveWebConfig) -> None:
    try:
        reload_all(application, web_config)
    except ConfigError:
        # Logged and exposed as a metric; the previous configuration stays active.
        pass
    except Exception:  # noqa: BLE001  # boundary of the signal: an unexpected error must not stop the exporter
        _log.exception("unexpected error during reload, configuration partially applied")


def http_server(web: ASGIApp, web_config: ActiveWebConfig, limits: ConnectionLimits | None = None) -> uvicorn.Server:
    """Return the server for the application, with the TLS of the web configuration."""
    return bounded_server(web, limits=limits, tls=web_config if web_config.has_tls else None)

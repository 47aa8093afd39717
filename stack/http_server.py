"""Serve an application of the stack over HTTP, with limits on connections and slow clients."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable

from starlette.types import ASGIApp

from starlight_exporter.listen_address import listen
from starlight_exporter.web.bounded_server import bounded_server
from starlight_exporter.web.connections import ConnectionLimits

CONNECTIONS = 64
GRACE_SECONDS = 2


def serve(app: ASGIApp, host: str, port: int, *, started: Callable[[tuple[str, int]], None]) -> None:
    """Serve until SIGTERM or SIGINT; active requests get 2 s to finish. Calls `started` with the address.

    Raises ConfigError if the address cannot be bound.
    """
    listener = listen(host, port)
    server = bounded_server(app, limits=ConnectionLimits(connections=CONNECTIONS), drain_seconds=GRACE_SECONDS)
    # uvicorn logs requests that are cancelled after the grace period as errors with a traceback.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    # uvicorn raises the signal again after draining; a requested stop must exit with 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    started(listener.getsockname()[:2])
    with listener:
        server.run(sockets=[listener])

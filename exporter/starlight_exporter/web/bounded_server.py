"""A uvicorn server with a bounded number of connections and limits for slow clients; it writes no logs of its own."""

from __future__ import annotations

import asyncio
import math
import socket
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from starlight_exporter.web.acceptor import Acceptor, TlsContexts
from starlight_exporter.web.connections import ConnectionLimits, Connections, default_limits
from starlight_exporter.web.http_protocol import HttpProtocol

DRAIN_SECONDS: Final = 5
MAX_HEAD_BYTES: Final = 16 * 1024
CHECKED_TICKS: Final = 5
"""Connections are checked every 0.5 s."""


def bounded_server(
    app: ASGIApp,
    *,
    limits: ConnectionLimits | None = None,
    tls: TlsContexts | None = None,
    drain_seconds: int = DRAIN_SECONDS,
) -> uvicorn.Server:
    """Return the server for an application; active requests get `drain_seconds` when it stops."""
    connections = Connections(limits or default_limits())
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=drain_seconds,
        timeout_keep_alive=math.ceil(connections.limits.idle),
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        http=HttpProtocol,
        ws="none",
    )
    return _Server(config, connections, tls)


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

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Wait for the responses, then abort the connections whose clients have not read them."""
        await super().shutdown(sockets)
        self._connections.abort_all()
        # Transports close their sockets in the next iteration of the event loop.
        await asyncio.sleep(0)

"""Accept connections: a bounded number, also while their TLS handshake is not complete."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import structlog

from starlight_exporter.web.connections import Connections
from starlight_exporter.web.http_protocol import HttpProtocol

ACCEPTED_AT_ONCE: Final = 32
"""Then the event loop serves the open connections before it accepts more."""
PAUSE_SECONDS: Final = 0.1
_LOG_SECONDS: Final = 60.0

_log = structlog.get_logger(__name__)


class TlsContexts(Protocol):
    """Source of TLS contexts."""

    async def context(self) -> ssl.SSLContext:
        """Return the context for a new connection."""


class _Paused(asyncio.Protocol):
    """Protocol of a connection until its TLS handshake: reads nothing."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.ReadTransport)
        transport.pause_reading()


class Acceptor:
    """Accepts connections of one listening socket in the event loop that creates it; used instead of asyncio's server.

    asyncio's server neither counts connections in the TLS handshake nor evicts one when file descriptors run out.
    """

    def __init__(
        self,
        listener: socket.socket,
        connections: Connections,
        protocol: Callable[[], HttpProtocol],
        tls: TlsContexts | None,
    ) -> None:
        """`tls` is None for plain HTTP."""
        self._listener = listener
        self._connections = connections
        self._protocol = protocol
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._exhaustion_logged = float("-inf")
        listener.setblocking(False)
        self._loop.add_reader(listener, self._accept)

    def close(self) -> None:
        """Stop accepting, and end the handshakes that are not complete."""
        self._closed = True
        self._loop.remove_reader(self._listener)
        for task in self._tasks:
            task.cancel()

    async def wait_closed(self) -> None:
        """Wait until the handshakes have ended."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                accepted, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._pause(error)
                return
            protocol = self._protocol()
            if not self._connections.add(protocol):
                accepted.close()
                continue
            task = self._loop.create_task(self._connect(accepted, protocol))
            protocol.connecting(task)
            self._tasks.add(task)
            task.add_done_callback(partial(self._connected, accepted, protocol))

    async def _connect(self, accepted: socket.socket, protocol: HttpProtocol) -> None:
        if self._tls is None:
            await self._loop.connect_accepted_socket(lambda: protocol, accepted)
            return
        limits = self._connections.limits
        transport, _ = await self._loop.connect_accepted_socket(_Paused, accepted)
        try:
            encrypted = await self._loop.start_tls(
                transport,
                protocol,
                await self._tls.context(),
                server_side=True,
                ssl_handshake_timeout=limits.handshake,
                ssl_shutdown_timeout=limits.closing,
            )
        except BaseException:
            transport.abort()
            raise
        if encrypted is not None:
            protocol.handshake_complete(encrypted)

    def _connected(self, accepted: socket.socket, protocol: HttpProtocol, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if protocol.connected:
            return
        # A task that is cancelled before its first step has not passed the socket to a transport.
        accepted.close()
        self._connections.discard(protocol)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, OSError):
            # SSLError is an OSError: a client that does not complete the handshake is not an error of the exporter.
            _log.error("connection failed", reason=repr(error))

    def _pause(self, error: OSError) -> None:
        """Stop accepting for a moment: the listener stays readable, so accepting without descriptors would spin."""
        if time.monotonic() - self._exhaustion_logged > _LOG_SECONDS:
            self._exhaustion_logged = time.monotonic()
            _log.error("connection not accepted", reason=error.strerror, open_connections=len(self._connections))
        self._connections.evict()
        self._loop.remove_reader(self._listener)
        self._loop.call_later(PAUSE_SECONDS, self._resume)

    def _resume(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._listener, self._accept)

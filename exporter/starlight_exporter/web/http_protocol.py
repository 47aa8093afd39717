"""One HTTP connection: uvicorn's protocol with the phases that the table of connections limits."""

from __future__ import annotations

import asyncio
import socket
import struct

import h11
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from starlight_exporter.web.connections import Connections, Phase


class HttpProtocol(H11Protocol):
    """Reports its phase to the table of connections after each event. Created when the connection is accepted."""

    def __init__(self, config: Config, state: ServerState, connections: Connections) -> None:
        super().__init__(config, state, {})
        self._table = connections
        self._connecting: asyncio.Task[None] | None = None
        self._early = bytearray()

    def connecting(self, task: asyncio.Task[None]) -> None:
        """Set the task that connects the socket, with TLS after the handshake; `abort` cancels it until then."""
        self._connecting = task

    @property
    def connected(self) -> bool:
        """Whether the connection, including TLS, was established."""
        return self.transport is not None

    def phase(self) -> Phase:
        """Return the current phase."""
        if not self.connected:
            return Phase.HANDSHAKE
        if self.transport.is_closing():
            return Phase.CLOSING
        return Phase.WRITE if self.flow.write_paused else self._request_phase()

    def _request_phase(self) -> Phase:
        if self.conn.their_state is h11.SEND_BODY:
            return Phase.BODY
        if self.cycle is not None and not self.cycle.response_complete:
            return Phase.REQUEST
        if self.conn.their_state is not h11.IDLE:
            return Phase.CLOSING
        return Phase.HEAD if self.cycle is None or self.conn.trailing_data[0] else Phase.IDLE

    def unsent_bytes(self) -> int:
        """Return the number of bytes that the operating system has not accepted yet."""
        return self.transport.get_write_buffer_size() if self.connected else 0

    def abort(self) -> None:
        """Close the connection at once, without waiting for the client."""
        if self.connected:
            if self.phase() in (Phase.WRITE, Phase.CLOSING):
                self._discard_unread()
            self.transport.abort()
        elif self._connecting is not None:
            self._connecting.cancel()

    def _discard_unread(self) -> None:
        """Let the operating system drop what the client has not read (`reset_timedout_connection` in nginx)."""
        connection = self.transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._table.update(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._table.discard(self)
        # Without TLS, this is called for connections only; with TLS, also when the client leaves after the handshake.
        if self.connected:
            super().connection_lost(exc)

    def handshake_complete(self, transport: asyncio.Transport) -> None:
        """Begin HTTP on the encrypted transport, with the data that arrived together with the end of the handshake."""
        self.connection_made(transport)
        if self._early:
            self.data_received(bytes(self._early))

    def data_received(self, data: bytes) -> None:
        if not self.connected:
            self._early += data
            return
        super().data_received(data)
        self._table.update(self)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._table.update(self)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._table.update(self)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._table.update(self)

    def send_400_response(self, msg: str) -> None:
        # After the start of a response, h11 refuses to send another one.
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.abort()

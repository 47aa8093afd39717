"""Clients that hold connections: partial requests, idle connections, slow bodies, readers that do not read."""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from support.waiting import wait_until

_OPENED_PER_SECOND: Final = 500


@dataclass(frozen=True, slots=True)
class Attack:
    """A number of connections that send the same bytes and then wait; with TLS, `encrypted` ones complete it first."""

    name: str
    connections: int
    sent: bytes
    encrypted: bool = True


PARTIAL_HEADS: Final = Attack("partial heads", 200, b"GET / HTTP/1.1\r\nHost: localhost\r\nX-")
IDLE: Final = Attack("idle connections", 2000, b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n")
SLOW_BODIES: Final = Attack(
    "slow bodies", 100, b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nx"
)
NOT_READING: Final = Attack("slow readers", 50, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 10)
HALF_OPEN_TLS: Final = Attack("half-open TLS", 500, b"\x16\x03\x01\x02\x00\x01", encrypted=False)


class SlowClients:
    """Keeps the connections of attacks to a loopback port open, and opens those again that the server closes."""

    def __init__(self, port: int, attacks: Sequence[Attack], tls: ssl.SSLContext | None = None) -> None:
        self._address = ("127.0.0.1", port)
        self._tls = tls
        self._required = sum(attack.connections for attack in attacks)
        self._missing = [attack for attack in attacks for _ in range(attack.connections)]
        self._open: dict[int, tuple[socket.socket, Attack]] = {}
        self._closed = select.epoll()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.opened = 0

    def __enter__(self) -> Self:
        self._thread.start()
        wait_until(lambda: self.opened >= self._required, "every connection was opened once")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()
        self._closed.close()
        for connection, _ in self._open.values():
            connection.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            if self._missing:
                self._connect(self._missing.pop(0))
                time.sleep(1 / _OPENED_PER_SECOND)
            for descriptor, _ in self._closed.poll(0 if self._missing else 0.01):
                connection, attack = self._open.pop(descriptor)
                self._closed.unregister(descriptor)
                connection.close()
                self._missing.append(attack)

    def _connect(self, attack: Attack) -> None:
        self.opened += 1
        connection = socket.socket()
        connection.settimeout(5)
        # Small, so that the server blocks on clients that do not read.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        try:
            connection.connect(self._address)
            if self._tls is not None and attack.encrypted:
                connection = self._tls.wrap_socket(connection, server_hostname="127.0.0.1")
            connection.sendall(attack.sent)
        except OSError:
            connection.close()
            self._missing.append(attack)
            return
        self._open[connection.fileno()] = (connection, attack)
        self._closed.register(connection, select.EPOLLRDHUP)

"""The open connections: bounded in number and in the time that each may wait for its client.

As nginx does, a new connection replaces the one that has waited longest for a request when all slots are taken. Clients
that are slow, or open many connections, therefore cannot keep scrapes and health checks out.
"""

from __future__ import annotations

import math
import resource
import time
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

_CONNECTIONS: Final = 512
"""The default of Prometheus' own `--web.max-connections`."""


class Phase(Enum):
    """What a connection does or waits for."""

    HANDSHAKE = "TLS handshake"
    HEAD = "first or started request head"
    IDLE = "next request"
    REQUEST = "response of this exporter"
    BODY = "request body"
    WRITE = "client to read the response"
    CLOSING = "client to read the end of the response and close"


_WITHOUT_REQUEST: Final = frozenset({Phase.HANDSHAKE, Phase.HEAD, Phase.IDLE})
_BLOCKED_BY_CLIENT: Final = frozenset({Phase.BODY, Phase.WRITE, Phase.CLOSING})
_IN_REQUEST: Final = frozenset({Phase.REQUEST, Phase.BODY, Phase.WRITE})


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Number of connections, and seconds that a connection may spend in each phase.

    `write` is the time without any progress. `request` bounds all phases between the complete request head and the end
    of the response. The idle time is that of nginx (65 s), the others are between those of nginx and Apache.
    """

    connections: int = _CONNECTIONS
    handshake: float = 10.0
    head: float = 10.0
    idle: float = 65.0
    body: float = 10.0
    write: float = 60.0
    closing: float = 5.0
    request: float = 300.0

    def seconds(self, phase: Phase) -> float:
        """Return the limit of a phase."""
        return {
            Phase.HANDSHAKE: self.handshake,
            Phase.HEAD: self.head,
            Phase.IDLE: self.idle,
            Phase.REQUEST: math.inf,
            Phase.BODY: self.body,
            Phase.WRITE: self.write,
            Phase.CLOSING: self.closing,
        }[phase]


def default_limits() -> ConnectionLimits:
    """Return the limits of this process: at most half of its file descriptors are used for connections."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    bounded = descriptors != resource.RLIM_INFINITY
    return ConnectionLimits(connections=min(_CONNECTIONS, descriptors // 2) if bounded else _CONNECTIONS)


class Connection(Protocol):
    """A connection as the table of connections uses it."""

    def phase(self) -> Phase:
        """Return the current phase."""

    def unsent_bytes(self) -> int:
        """Return the number of bytes that the operating system has not accepted yet."""

    def abort(self) -> None:
        """Close the connection at once, without waiting for the client."""


@dataclass(slots=True)
class _Times:
    """Phase of a connection, and when it last made progress and began its current request (monotonic seconds)."""

    phase: Phase
    progress: float
    request_began: float
    unsent: int = 0


class Connections:
    """The open connections with their phases; used by the thread of the event loop only."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._times: dict[Connection, _Times] = {}
        # Sorted by the beginning of the phase: a connection moves to the end when its phase changes.
        self._without_request: dict[Connection, None] = {}
        self._blocked: dict[Connection, None] = {}
        self._served: dict[Connection, None] = {}

    def __len__(self) -> int:
        return len(self._times)

    def add(self, connection: Connection) -> bool:
        """Add a connection, and evict another one if all slots are taken. Return False if none can be evicted."""
        if len(self) >= self.limits.connections and not self.evict():
            return False
        phase, now = connection.phase(), time.monotonic()
        self._times[connection] = _Times(phase, now, now)
        self._group(phase)[connection] = None
        return True

    def evict(self) -> bool:
        """Abort the connection that has waited longest for a request, else for its client; False if there is none."""
        for group in (self._without_request, self._blocked):
            for connection in group:
                self.discard(connection)
                connection.abort()
                return True
        return False

    def update(self, connection: Connection) -> None:
        """Record the phase of a connection after an event. Removed connections are ignored."""
        times = self._times.get(connection)
        if times is None or (phase := connection.phase()) is times.phase:
            return
        now = time.monotonic()
        if times.phase not in _IN_REQUEST:
            times.request_began = now
        del self._group(times.phase)[connection]
        self._group(phase)[connection] = None
        times.phase, times.progress, times.unsent = phase, now, connection.unsent_bytes()

    def discard(self, connection: Connection) -> None:
        """Remove a connection that is closed, if it was not removed before."""
        times = self._times.pop(connection, None)
        if times is not None:
            del self._group(times.phase)[connection]

    def abort_overdue(self) -> int:
        """Abort the connections that exceed a limit; return their number."""
        overdue = [connection for connection in list(self._times) if self._is_overdue(connection)]
        for connection in overdue:
            self.discard(connection)
            connection.abort()
        return len(overdue)

    def abort_all(self) -> None:
        """Abort all connections."""
        for connection in list(self._times):
            self.discard(connection)
            connection.abort()

    def _is_overdue(self, connection: Connection) -> bool:
        self.update(connection)
        times, now = self._times[connection], time.monotonic()
        unsent = connection.unsent_bytes()
        if unsent < times.unsent:
            times.progress = now
        times.unsent = unsent
        if times.phase in _IN_REQUEST and now - times.request_began > self.limits.request:
            return True
        return now - times.progress > self.limits.seconds(times.phase)

    def _group(self, phase: Phase) -> dict[Connection, None]:
        if phase in _WITHOUT_REQUEST:
            return self._without_request
        return self._blocked if phase in _BLOCKED_BY_CLIENT else self._served

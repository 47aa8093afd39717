"""TCP ports of the stack's services on loopback."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from stack.errors import StackError
from starlight_exporter.listen_address import DEFAULT_LISTEN_ADDRESS, parse_listen_address

LOOPBACK, _EXPORTER_PORT = parse_listen_address(DEFAULT_LISTEN_ADDRESS)


@dataclass(frozen=True, slots=True)
class Ports:
    """Port per service, in start order. The defaults are those of the shipped configuration files."""

    notifications: int = 9876
    alertmanager: int = 9093
    exporter: int = _EXPORTER_PORT
    prometheus: int = 9090
    grafana: int = 3000

    def by_service(self) -> dict[str, int]:
        """Return the port by service name, in start order."""
        return asdict(self)


SHIPPED = Ports()


def require_free(ports: Mapping[str, int]) -> None:
    """Raise StackError for the first port that is in use; it names the flag that selects another one."""
    for name, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError as error:
                raise StackError(
                    f"port {port} ({name}) is in use by another process; stop it, or choose another: --{name}-port"
                ) from error

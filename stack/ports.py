"""TCP ports of the stack's services on loopback: shipped, from STARLIGHT_*_PORT variables, or from flags."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from stack.errors import StackError
from starlight_exporter.listen_address import DEFAULT_LISTEN_ADDRESS, parse_listen_address

LOOPBACK, _EXPORTER_PORT = parse_listen_address(DEFAULT_LISTEN_ADDRESS)

_ASSIGNMENT: Final = re.compile(r"""\s*(?:export\s+)?(STARLIGHT_[A-Z]+_PORT)\s*=\s*(["']?)(.*?)\2\s*(?:\s#.*)?""")


@dataclass(frozen=True, slots=True)
class Ports:
    """Port per service, in start order. The defaults are those of the shipped configuration files."""

    notifications: int = 9876
    alertmanager: int = 9093
    exporter: int = _EXPORTER_PORT
    prometheus: int = 9090
    grafana: int = 3000

    @classmethod
    def of(cls, chosen: Mapping[str, int | None], environment: Mapping[str, str]) -> Self:
        """Return the chosen port of each service, else that of its variable, else the shipped one.

        Raises ValueError for an invalid variable, or a port that two services share.
        """
        variables = {name: _of_variable(variable(name), environment) for name in asdict(cls())}
        ports = {name: chosen.get(name) or variables[name] or shipped for name, shipped in asdict(cls()).items()}
        for name, port in ports.items():
            other = next(other for other in ports if ports[other] == port)
            if other != name:
                raise ValueError(f"port {port}: chosen for both {other} and {name}")
        return cls(**ports)

    def by_service(self) -> dict[str, int]:
        """Return the port by service name, in start order."""
        return asdict(self)

    def environment(self) -> dict[str, str]:
        """Return the variables that docker-compose.yml reads."""
        return {variable(name): str(port) for name, port in self.by_service().items()}

    def addresses(self) -> dict[str, str]:
        """Return the address of each service on loopback by its shipped address."""
        shipped = SHIPPED.by_service()
        return {f"{LOOPBACK}:{shipped[name]}": f"{LOOPBACK}:{port}" for name, port in self.by_service().items()}


SHIPPED = Ports()


def variable(service: str) -> str:
    """Return the name of the environment variable with the port of a service."""
    return f"STARLIGHT_{service.upper()}_PORT"


def port_number(text: str) -> int:
    """Parse a TCP port. Raises ValueError."""
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise ValueError(f"expected a port from 1 to 65535, got {text!r}")
    return int(text)


def read_variables(file: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment, with the port variables of compose's `.env` file that it lacks."""
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    found = (match for line in lines if (match := _ASSIGNMENT.fullmatch(line)))
    return {match[1]: match[3] for match in found} | dict(environment)


def move_addresses(value: Any, addresses: Mapping[str, str]) -> Any:
    """Return a value of a configuration with every address in its texts replaced."""
    if isinstance(value, dict):
        return {key: move_addresses(one, addresses) for key, one in value.items()}
    if isinstance(value, list):
        return [move_addresses(one, addresses) for one in value]
    if isinstance(value, str):
        # In one pass, because the new port of a service may be the shipped port of another.
        shipped = "|".join(re.escape(address) for address in addresses)
        return re.sub(rf"(?:{shipped})(?!\d)", lambda match: addresses[match[0]], value)
    return value


def require_free(ports: Mapping[str, int]) -> None:
    """Raise StackError for the first port that is in use; it names the flag that selects another one."""
    for name, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError as error:
                raise StackError(
                    f"port {port} ({name}) is in use by another process; stop it, or choose another: --{name}-port or"
                    f" {variable(name)}"
                ) from error


def free_port() -> int:
    """Return a port on loopback that is not in use."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def _of_variable(name: str, environment: Mapping[str, str]) -> int | None:
    # As in compose, an empty variable counts as not set.
    text = environment.get(name, "")
    try:
        return port_number(text) if text else None
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error

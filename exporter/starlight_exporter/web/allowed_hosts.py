"""Host names under which the exporter answers: others reach it only by DNS rebinding or by mistake."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from starlight_exporter.errors import ConfigError

ANY_HOST: Final = "*"
_HOST: Final = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+)\]|(?P<name>[0-9A-Za-z._-]+))(?::(?P<port>[0-9]{1,5}))?")
_ENTRY: Final = re.compile(r"\*|\.?[0-9a-z_-]+(\.[0-9a-z_-]+)*")


@dataclass(frozen=True, slots=True)
class HostPort:
    """A parsed Host header: the lower-case name or address, and the port if there is one."""

    host: str
    port: int | None


def parse_host(header: str) -> HostPort | None:
    """Return the parts of a Host header, None if it is invalid."""
    match = _HOST.fullmatch(header)
    if match is None:
        return None
    host = (match["ipv6"] or match["name"]).lower().removesuffix(".")
    return HostPort(host, None if match["port"] is None else int(match["port"]))


def parse_allowed_hosts(values: Iterable[str]) -> frozenset[str]:
    """Return the entries of flags with comma-separated host names. ConfigError if an entry is not a host name."""
    entries = [entry.strip().lower() for value in values for entry in value.split(",")]
    for entry in entries:
        if not _ENTRY.fullmatch(entry):
            expected = "expected host names without port, such as exporter or .example.org for all names below it, or *"
            raise ConfigError(f"allowed host {entry!r}: {expected}")
    return frozenset(entries)


def own_host_names() -> frozenset[str]:
    """Return the names of this machine that are known without a DNS query."""
    name = socket.gethostname().lower()
    return frozenset({"localhost", name, name.partition(".")[0]})


def is_allowed(host: str, allowed: frozenset[str]) -> bool:
    """Return whether `host` is an IP address, an allowed name, or below an allowed `.domain`.

    A page of another site can use a name that resolves to this machine, but not an address.
    """
    if ANY_HOST in allowed or host in allowed or _is_address(host):
        return True
    labels = host.split(".")
    return any("." + ".".join(labels[start:]) in allowed for start in range(1, len(labels)))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

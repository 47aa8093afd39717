"""Listen addresses of servers: parse them and bind sockets to them."""

from __future__ import annotations

import socket
from typing import Final

from starlight_exporter.errors import ConfigError

DEFAULT_LISTEN_ADDRESS: Final = "127.0.0.1:9877"
"""Of the exporter."""


def parse_listen_address(text: str) -> tuple[str, int]:
    """Split `host:port`, `[IPv6]:port` or `:port` (all interfaces) into host and port; ConfigError if it is invalid."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    if not colon or (":" in host and not bracketed) or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ConfigError(f"listen address {text!r}: expected host:port, such as 127.0.0.1:9877")
    return host, int(port)


def format_address(host: str, port: int) -> str:
    """Return `host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listen(host: str, port: int) -> socket.socket:
    """Return a listening TCP socket; port 0 selects a free port. ConfigError if the address cannot be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol, asyncio disables Nagle's algorithm for accepted connections, which delays the second part of a
    # response by 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host.encode("idna").decode(), port))
        listener.listen(socket.SOMAXCONN)
    except (OSError, UnicodeError) as error:
        # UnicodeError: a label of the host name is too long or empty.
        listener.close()
        reason = "invalid host name" if isinstance(error, UnicodeError) else error.strerror or error
        raise ConfigError(f"cannot listen on {format_address(host, port)}: {reason}") from error
    return listener

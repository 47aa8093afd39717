"""Listen addresses: valid and invalid texts, and addresses that cannot be bound."""

from __future__ import annotations

import asyncio
import socket

import pytest

from starlight_exporter.errors import ConfigError
from starlight_exporter.listen_address import format_address, listen, parse_listen_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9876", ("127.0.0.1", 9876)),
        ("localhost:0", ("localhost", 0)),
        (":9876", ("", 9876)),
        ("[::1]:9876", ("::1", 9876)),
    ],
)
def test_parses_listen_address(text: str, address: tuple[str, int]) -> None:
    assert parse_listen_address(text) == address


@pytest.mark.parametrize("text", ["", "9876", "::1:9876", "host:", "host:x", "host:65536", "host:-1", "host:¹"])
def test_rejects_invalid_listen_address(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected host:port, such as 127\.0\.0\.1:9877"):
        parse_listen_address(text)


@pytest.mark.parametrize(("host", "text"), [("127.0.0.1", "127.0.0.1:9876"), ("::1", "[::1]:9876")])
def test_formats_ipv6_address_with_brackets(host: str, text: str) -> None:
    assert format_address(host, 9876) == text


def test_port_in_use_is_an_error() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["a" * 64, "a..b", "ü" * 64, "\udcff"])
def test_invalid_host_name_is_an_error(host: str) -> None:
    with pytest.raises(ConfigError, match="invalid host name"):
        listen(host, 0)


def test_accepted_connections_do_not_delay_the_second_part_of_a_response() -> None:
    async def no_delay() -> int:
        loop = asyncio.get_running_loop()
        with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
            transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, listener.accept()[0])
            option = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            transport.abort()
        return int(option)

    assert asyncio.run(no_delay()) == 1

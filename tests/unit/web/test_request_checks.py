"""Requests that are rejected before the application: foreign hosts, foreign sites, and ambiguous framing."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest

from starlight_exporter.errors import ConfigError
from starlight_exporter.web.allowed_hosts import is_allowed, parse_allowed_hosts, parse_host
from starlight_exporter.web.site import make_origin, make_site
from support.web import LocalServer, idle_application

ALLOWED = ["exporter,other.example", ".example.org"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    application = idle_application(tmp_path_factory.mktemp("site"))
    site = make_site("https://monitor.example/starlight/", "/", parse_allowed_hosts(ALLOWED))
    with LocalServer(application, lifecycle=True, site=site) as running:
        yield running


def status_line(server: LocalServer, request: str) -> str:
    """Return the first line of the response to a request of these lines."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        connection.sendall(request.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        return connection.makefile("rb").readline().decode().strip()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:9877",
        "192.0.2.7:80",
        "[::1]:9877",
        "localhost",
        "LOCALHOST:1",
        "localhost.",
        socket.gethostname(),
        "exporter:9877",
        "other.example",
        "a.b.example.org",
        "monitor.example",
    ],
)
def test_allowed_host_is_served(server: LocalServer, host: str) -> None:
    answer = httpx.get(f"{server.url}/-/healthy", headers={"Host": host})
    assert (answer.status_code, answer.text) == (200, "healthy\n")


@pytest.mark.parametrize(
    "host", ["attacker.example", "attacker.example:9877", "exporter.attacker.example", "example.org", "1.2.3.4.nip.io"]
)
@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/static/style.css"])
def test_other_host_is_misdirected(server: LocalServer, host: str, path: str) -> None:
    answer = httpx.get(f"{server.url}{path}", headers={"Host": host})
    assert answer.status_code == 421
    assert answer.text == f"host {host.partition(':')[0]!r} is not allowed: add it to --web.allowed-hosts\n"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("host", ["a b", "user@localhost", "localhost:port", "[::1", "localhost:80:80", "a/b", "ä"])
def test_invalid_host_is_a_bad_request(server: LocalServer, host: str) -> None:
    assert status_line(server, f"GET / HTTP/1.1\nHost: {host}").startswith("HTTP/1.1 400 ")


def test_request_without_a_host_is_served() -> None:
    assert parse_host("") is None


def test_http_1_0_request_without_a_host_is_served(server: LocalServer) -> None:
    assert status_line(server, "GET /metrics HTTP/1.0") == "HTTP/1.1 200 OK"
    assert status_line(server, "GET /metrics HTTP/1.0\nHost: attacker.example").startswith("HTTP/1.1 421 ")
    assert status_line(server, "GET /metrics HTTP/1.1").startswith("HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 202),
        ({"Origin": "http://exporter:9877"}, 202),
        ({"Origin": "https://monitor.example"}, 202),
        ({"Origin": "http://exporter:9877", "Sec-Fetch-Site": "same-origin"}, 202),
        ({"Sec-Fetch-Site": "none"}, 202),
        ({"Origin": "https://exporter:9877"}, 403),
        ({"Origin": "http://exporter"}, 403),
        ({"Origin": "http://exporter:9878"}, 403),
        ({"Origin": "http://monitor.example"}, 403),
        ({"Origin": "https://attacker.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": ""}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://exporter:9877", "Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/evaluations", "/-/reload"])
def test_post_from_another_site_is_rejected(
    server: LocalServer, headers: dict[str, str], expected: int, path: str
) -> None:
    answer = httpx.post(f"{server.url}{path}", headers={"Host": "exporter:9877", **headers})
    if expected == 403:
        assert answer.status_code == 403
        assert "another site" in answer.text
    else:
        assert answer.status_code == (202 if path == "/api/v1/evaluations" else 200)


def test_get_from_another_site_is_served(server: LocalServer) -> None:
    headers = {"Origin": "https://attacker.example", "Sec-Fetch-Site": "cross-site"}
    answer = httpx.get(f"{server.url}/-/healthy", headers=headers)
    assert answer.status_code == 200
    assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 5\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\nContent-Length: 5",
        "Content-Length: 5\nContent-Length: 6",
        "Content-Length: -1",
        "Content-Length: 0x5",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding : chunked",
        "Content-Length: 5\n folded: x",
    ],
)
def test_ambiguous_framing_is_rejected(server: LocalServer, framing: str) -> None:
    request = f"POST /-/reload HTTP/1.1\nHost: localhost\n{framing}"
    assert status_line(server, request).split()[1] in ("400", "501")


def test_transfer_encoding_in_http_1_0_is_rejected(server: LocalServer) -> None:
    assert status_line(server, "POST /-/reload HTTP/1.0\nTransfer-Encoding: chunked").startswith("HTTP/1.1 400 ")


@pytest.mark.parametrize("value", ["", "exporter:9877", "http://exporter", "a,,b", "*.example.org", "[::1]", "a b"])
def test_invalid_allowed_host_is_an_error(value: str) -> None:
    with pytest.raises(ConfigError, match="expected host names without port"):
        parse_allowed_hosts([value])


def test_asterisk_allows_any_host() -> None:
    assert is_allowed("any.example", parse_allowed_hosts(["*"]))


@pytest.mark.parametrize(
    ("scheme", "authority", "expected"),
    [
        ("http", "Example.org:80", "http://example.org"),
        ("https", "example.org:443", "https://example.org"),
        ("https", "example.org:80", "https://example.org:80"),
        ("http", "[::1]:9877", "http://[::1]:9877"),
        ("http", "a b", None),
    ],
)
def test_origin_has_no_default_port(scheme: str, authority: str, expected: str | None) -> None:
    assert make_origin(scheme, authority) == expected

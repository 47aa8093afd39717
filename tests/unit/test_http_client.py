"""The HTTP client: proxies, credentials and URLs in messages."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from stack.processes import answers
from starlight_exporter.errors import ConfigError, MonitoringError
from starlight_exporter.http_client import HttpClient, has_credentials, is_loopback, shown_url
from starlight_exporter.http_client_config import load_http_client

CLOSED = "http://127.0.0.1:9"
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class Recorder(ThreadingHTTPServer):
    """Answers every request with JSON, or redirects it, and keeps request lines and authorization."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str | None]] = []
        self.redirect = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Recorder

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers["Authorization"]))
        body = json.dumps({"status": "success"}).encode()
        self.send_response(302 if self.server.redirect else 200)
        if self.server.redirect:
            self.send_header("Location", self.server.redirect)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def server() -> Iterator[Recorder]:
    with Recorder() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"])
def test_loopback_is_never_requested_through_a_proxy(
    name: str, server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, CLOSED)
    assert HttpClient().get_json(server.url, "Prometheus") == {"status": "success"}
    assert answers(server.url.replace("127.0.0.1", "localhost"))


@pytest.mark.parametrize("name", ["http_proxy", "all_proxy", "ALL_PROXY"])
def test_other_addresses_are_requested_through_the_proxy(
    name: str, server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, server.url)
    HttpClient().get("http://prometheus.invalid:9090/-/ready")
    assert server.requests[0][0] == "http://prometheus.invalid:9090/-/ready"
    monkeypatch.setenv("no_proxy", ".invalid")
    with pytest.raises(MonitoringError, match=r"^http://prometheus\.invalid:9090/-/ready: Prometheus is unavailable: "):
        HttpClient().get_json("http://prometheus.invalid:9090/-/ready", "Prometheus")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:9090", True),
        ("127.8.8.8", True),
        ("[::1]:9090", True),
        ("localhost:9090", True),
        ("localhost.example.com", False),
        ("127.0.0.1.example.com", False),
        ("10.0.0.1", False),
        ("[::1", False),
        ("", False),
    ],
)
def test_loopback_addresses(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:secret@host:9090/path?query=1", "http://host:9090/path"),
        ("https://token@host", "https://host"),
        ("http://host/a@b", "http://host/a@b"),
        ("http://user:sec@ret@host", "http://host"),
    ],
)
def test_urls_are_shown_without_credentials(url: str, shown: str) -> None:
    assert shown_url(url) == shown
    assert has_credentials(url) is ("host/a@b" not in url)


def test_credentials_are_not_sent_to_the_target_of_a_redirect(server: Recorder) -> None:
    with Recorder() as other:
        thread = threading.Thread(target=other.serve_forever, args=(0.05,))
        thread.start()
        server.redirect = other.url
        HttpClient(lambda: "Bearer secret").get(server.url)
        other.shutdown()
        thread.join()
    assert server.requests == [("/", "Bearer secret")]
    assert other.requests == [("/", None)]


def test_passwords_are_read_again_for_each_request(server: Recorder, tmp_path: Path) -> None:
    config = tmp_path / "client.yml"
    config.write_text("basic_auth: {username: ops, password_file: secrets/password}\n")
    (tmp_path / "secrets").mkdir()
    password = tmp_path / "secrets" / "password"
    password.write_text("first\n")
    client = load_http_client(config)
    client.get(server.url)
    password.write_text("second:with colon")
    client.get(server.url)
    sent = [base64.b64decode(str(header).removeprefix("Basic ")) for _, header in server.requests]
    assert sent == [b"ops:first", b"ops:second:with colon"]


def test_token_is_read_from_a_file(server: Recorder, tmp_path: Path) -> None:
    config = tmp_path / "client.yml"
    config.write_text("authorization: {credentials_file: token}\n")
    (tmp_path / "token").write_text("abc\n")
    load_http_client(config).get(server.url)
    assert server.requests == [("/", "Bearer abc")]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "basic_auth: {username: u, password: hidden}",
            "basic_auth.password: unknown key; did you mean password_file?",
        ),
        (
            "authorization: {credentials: hidden}",
            "authorization.credentials: unknown key; did you mean credentials_file?",
        ),
        ("authorization: {type: Basic, credentials_file: hidden}", "authorization: type Basic: use basic_auth instead"),
        ("basic_auth: {username: u}", "basic_auth.password_file: is missing"),
        ("basic_auth: {username: 'a:b', password_file: f}", "basic_auth.username: expected a name without a colon"),
        ("proxy_url: x", "proxy_url: unknown key; expected one of basic_auth, authorization, tls_config"),
        ("tls_config: {cert_file: a}", "tls_config: expected both cert_file and key_file"),
        ("tls_config: {ca_file: missing.pem}", "tls_config.ca_file: "),
        ("basic_auth: {username: u, password_file: missing}", "basic_auth.password_file: "),
        ("authorization: {credentials_file: two_lines}", "authorization.credentials_file: "),
        (
            "basic_auth: {username: u, password_file: p}\nauthorization: {credentials_file: p}",
            "expected at most one of basic_auth and authorization",
        ),
    ],
)
def test_invalid_configuration_is_an_error_without_secrets(text: str, error: str, tmp_path: Path) -> None:
    (tmp_path / "two_lines").write_text("hidden\nhidden: header\n")
    config = tmp_path / "client.yml"
    config.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load_http_client(config)
    message = str(raised.value)
    assert message.startswith(f"{config}: {error}")
    assert "\n" not in message
    assert "hidden" not in message.removeprefix(str(config))

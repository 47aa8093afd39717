"""Requests that no honest client sends; generated ones: `attacks.malformed_requests`."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest

from starlight_exporter.runs.application import Application
from support.snapshots import FINISHED_AT, example_prediction, full_evaluation, full_snapshot, model_state, run_state
from support.web import LocalServer, idle_application


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Application:
    now = full_evaluation(evaluation_id="now")
    before = full_evaluation(evaluation_id="before", finished_at=FINISHED_AT - 900, model_sha256="a" * 64)
    snapshot = full_snapshot().with_model(model_state()).with_run("production", "reference", run_state(now))
    application = idle_application(tmp_path_factory.mktemp("hostile"), snapshot)
    for result in (before, now):
        rows = [example_prediction(f"clean/{number}.png", verdict=number % 2 == 0) for number in range(70)]
        application.evidence.store(result, rows)
    return application


@pytest.fixture(scope="module")
def server(application: Application) -> Iterator[LocalServer]:
    with LocalServer(application, lifecycle=True) as running:
        yield running


def response(server: LocalServer, request: bytes) -> bytes:
    """Return all bytes that the server sends before it closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
        received = b""
        try:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(1024 * 1024):
                received += part
        except OSError:
            # Closed before the full request was read.
            pass
        return received


@pytest.mark.parametrize("path", ["/metrics", "/", "/evaluations/now", "/evaluations/now/images", "/static/style.css"])
def test_many_parameters_are_served(server: LocalServer, path: str) -> None:
    for query in ("&".join(f"name[]=starlight_{number:04}" for number in range(600)), "a=b&" * 3000, "=" * 12_000):
        assert httpx.get(f"{server.url}{path}?{query}", timeout=60).status_code in (200, 400)


def test_ten_thousand_names_exceed_the_head(server: LocalServer) -> None:
    request = b"GET /metrics?" + b"&".join(b"name[]=a%d" % number for number in range(10_000)) + b" HTTP/1.1\r\n"
    assert response(server, request + b"Host: localhost\r\n\r\n")[:12] in (b"HTTP/1.1 400", b"")
    assert httpx.get(f"{server.url}/-/healthy").status_code == 200


@pytest.mark.parametrize("method", ["TRACE", "OPTIONS", "PUT", "DELETE", "CONNECT", "PROPFIND"])
def test_other_methods_are_not_allowed(server: LocalServer, method: str) -> None:
    answer = httpx.request(method, f"{server.url}/metrics")
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD"}


def test_unsupported_openmetrics_version_gets_the_text_format(server: LocalServer) -> None:
    accept = {"Accept": "application/openmetrics-text;version=abc"}
    answer = httpx.get(f"{server.url}/metrics", headers=accept)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")


@pytest.mark.parametrize("path", ["//metrics", "/metrics/", "//", "/evaluations//", "/./metrics", "/../metrics"])
def test_paths_are_not_normalized(server: LocalServer, path: str) -> None:
    received = response(server, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert received.startswith(b"HTTP/1.1 404 ")


def test_head_has_the_headers_of_get(server: LocalServer) -> None:
    for path in ("/metrics", "/", "/evaluations/now.json", "/static/style.css", "/-/healthy"):
        head, get = httpx.head(f"{server.url}{path}"), httpx.get(f"{server.url}{path}")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == get.headers["content-type"]

"""Requests that no honest client sends: each gets a response below 500, and the server continues."""

from __future__ import annotations

import random
import re
import socket
from collections.abc import Iterator

import httpx
import pytest

from starlight_exporter.runs.application import Application
from support.snapshots import FINISHED_AT, example_prediction, full_evaluation, full_snapshot, model_state, run_state
from support.web import LocalServer, idle_application

REQUESTS = 2_000
METHOD_WORDS = "GET GET GET GET HEAD POST PUT DELETE OPTIONS TRACE CONNECT PATCH GeT X-Y get"
SEGMENT_WORDS = """
    . .. %2e%2e %2F evaluations now before latest latest.json images 0 -1 69 70 999999999 9999999999999999999
    misclassified misclassified.csv images.csv comparison comparison.json predictions.csv thumbnail.png pixel.png
    nothing.png runbooks StarlightExporterDown.md static style.css icon.svg training training.json status.json
    status.csv metrics - healthy ready reload api v1 %00 %0a %0d%0aX:%20y %ff %ed%a0%80 %c0%af %F0%9F%98%80 % %zz
    %u0041 ' " <script> {id} * ; @ ~ [ ] | \\ now%00 now%2f..%2f.. ١
    """
SEGMENTS = [
    *SEGMENT_WORDS.split(),
    "",
    "a" * 3000,
]
PARAMETER_WORDS = """
    ? ?a ?= ?model=production ?dataset=reference&model=production ?model=%00 ?model=%ff&dataset=%ed%a0%80
    ?prevalence=nan ?prevalence=1e-400 ?prevalence=0.5 ?page=0 ?page=999999 ?page=%D9%A1 ?against=before ?against=%00
    ?against=%ed%a0%80 ?class=clean&format=png ?class=%00 ?method=lsb&direction=broken ?category=%27%20OR%201=1
    ?category=%00 ?shown=all ?table=slices ?table=%ff ?name[]=starlight_detections ?name[]=%00&name[]=%ff
    ?direction=fixed&against=now
    """
PARAMETERS = [
    *PARAMETER_WORDS.split(),
    "",
    "?prevalence=" + "9" * 400,
    "?against=" + "x" * 5000,
    "?category=" + "c" * 4000,
    "?" + "&" * 5000,
    "?" + "a=b&" * 2000,
]
HEADER_LINES = """Accept: application/openmetrics-text;version=abc
Accept: application/openmetrics-text; version=1.0.0; q=2
Accept: ;;;,,,=
Accept: text/html
Accept: application/json
Accept: text/csv
Accept: \xff\xfe
Accept-Encoding: gzip
Accept-Encoding: gzip;q=0, \xe9
Range: bytes=0-10
Range: bytes=5-1
Range: bytes=-
Range: x
If-Range: x
If-Modified-Since: yesterday
If-None-Match: *
Authorization: Basic \xff
Upgrade: h2c
Expect: 100-continue
Expect: x
TE: trailers
Origin: null
Sec-Fetch-Site: cross-site
X-Forwarded-Prefix: /a
X-Forwarded-Host: a
Content-Type: \x80
Host: attacker.example
Content-Length: 0
Content-Length: 99999999999999999999999
Trailer: x"""
HEADERS = [
    *HEADER_LINES.splitlines(),
    "Upgrade: websocket\r\nConnection: upgrade",
    "Content-Length: 5\r\nTransfer-Encoding: chunked",
    "Accept: " + "a/b," * 2000,
    "Range: bytes=" + "0-1," * 500,
    "Cookie: " + "c" * 5000,
]


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


def generated_request(generator: random.Random) -> bytes:
    """Return a request of the vocabulary, sometimes with damaged bytes."""
    path = "/" + "/".join(generator.choice(SEGMENTS) for _ in range(generator.randint(1, 5)))
    target = path + generator.choice(PARAMETERS)
    version = generator.choice(("HTTP/1.1",) * 8 + ("HTTP/1.0", "HTTP/2.0", "HTTP/1.1 ", "http/1.1", ""))
    headers = ["Host: localhost", "Connection: close", *generator.sample(HEADERS, generator.randint(0, 3))]
    text = (
        f"{generator.choice(METHOD_WORDS.split())} {target} {version}\r\n"
        + "".join(f"{one}\r\n" for one in headers)
        + "\r\n"
    )
    request = bytearray(text.encode("utf-8"))
    if generator.random() < 0.2:
        for _ in range(generator.randint(1, 3)):
            request[generator.randrange(len(request))] = generator.randrange(256)
    return bytes(request)


@pytest.mark.slow
def test_generated_requests_have_no_server_error(server: LocalServer, capsys: pytest.CaptureFixture[str]) -> None:
    generator = random.Random(16)
    statuses: dict[int, int] = {}
    for _ in range(REQUESTS):
        request = generated_request(generator)
        received = response(server, request)
        if not received:
            continue
        match = re.match(rb"HTTP/1\.1 ([0-9]{3}) ", received)
        assert match, (request[:300], received[:300])
        status = int(match[1])
        statuses[status] = statuses.get(status, 0) + 1
        assert status < 500 or (status == 503 and b"no result yet" in received), (request[:300], received[:300])
    assert httpx.get(f"{server.url}/metrics").status_code == 200
    assert {200, 400, 403, 404, 405, 421} <= set(statuses), statuses
    assert "Traceback" not in capsys.readouterr().err


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

"""Connections over real sockets: time limits per phase, eviction at the limit, and requests beyond the limits."""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from starlight_exporter.web.active_web_config import ActiveWebConfig
from starlight_exporter.web.admission import Admission
from starlight_exporter.web.connections import ConnectionLimits
from support.certificates import Authority
from support.waiting import wait_until
from support.web import AsgiServer, no_web_config

GET = b"GET /healthy HTTP/1.1\r\nHost: localhost\r\n\r\n"
LARGE = 64 * 1024 * 1024
release, serving = threading.Event(), threading.Event()
opened: list[socket.socket] = []


async def healthy(_request: Request) -> Response:
    return PlainTextResponse("healthy\n")


async def large(_request: Request) -> Response:
    return Response(bytes(LARGE))


async def slow(_request: Request) -> Response:
    serving.set()
    while not release.is_set():
        await anyio.sleep(0.01)
    return PlainTextResponse("done\n")


APP = Starlette(
    routes=[
        Route("/healthy", healthy, methods=["GET", "POST"]),
        Route("/large", large),
        Route("/slow", slow),
        Route("/metrics", healthy),
        Route("/-/healthy", healthy),
    ]
)


@pytest.fixture(autouse=True)
def released() -> Iterator[None]:
    release.clear()
    serving.clear()
    yield
    release.set()
    for connection in opened:
        connection.close()
    opened.clear()


def connect(server: AsgiServer, data: bytes = b"") -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    opened.append(connection)
    connection.sendall(data)
    return connection


def is_closed(connection: socket.socket) -> bool:
    """Return whether the server has closed a connection; bytes of a response are discarded."""
    connection.settimeout(0.01)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


def seconds_until_closed(connection: socket.socket) -> float:
    began = time.monotonic()
    wait_until(lambda: is_closed(connection), "connection closed by the server", interval=0.01)
    return time.monotonic() - began


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\n"])
def test_incomplete_head_is_closed_after_the_limit(sent: bytes) -> None:
    with (
        AsgiServer(APP, no_web_config(), ConnectionLimits(head=0.5)) as server,
        connect(server, sent) as connection,
    ):
        assert seconds_until_closed(connection) > 0.3


def test_bytes_of_a_head_do_not_extend_its_limit() -> None:
    with AsgiServer(APP, no_web_config(), ConnectionLimits(head=1.0)) as server, connect(server) as connection:

        def closed_after_another_byte() -> bool:
            try:
                connection.sendall(b"G")
            except ConnectionError:
                return True
            return is_closed(connection)

        wait_until(closed_after_another_byte, "slow head closed", interval=0.1)


def test_idle_connection_is_kept_longer_than_an_incomplete_head() -> None:
    limits = ConnectionLimits(head=0.3, idle=3.0)
    with AsgiServer(APP, no_web_config(), limits) as server, connect(server, GET) as connection:
        assert seconds_until_closed(connection) > 1.5


def test_second_head_has_the_limit_of_the_first() -> None:
    limits = ConnectionLimits(head=0.3)
    with AsgiServer(APP, no_web_config(), limits) as server, connect(server, GET + b"GET /") as connection:
        assert seconds_until_closed(connection) < 30


@pytest.mark.parametrize("framing", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"])
def test_incomplete_body_is_closed_after_the_limit(framing: bytes) -> None:
    request = b"POST /healthy HTTP/1.1\r\nHost: localhost\r\n" + framing + b"\r\n\r\n"
    limits = ConnectionLimits(body=0.5)
    with AsgiServer(APP, no_web_config(), limits) as server, connect(server, request) as connection:
        connection.sendall(b"1")
        assert seconds_until_closed(connection) < 30


def test_client_that_does_not_read_is_disconnected_after_the_limit() -> None:
    limits = ConnectionLimits(connections=1, write=0.5)
    with (
        AsgiServer(Admission(APP), no_web_config(), limits) as server,
        connect(server, GET.replace(b"/healthy", b"/large")) as connection,
    ):
        reset = select.poll()
        reset.register(connection, 0)
        assert reset.poll(60_000), "not disconnected"


def test_slow_reader_that_makes_progress_receives_the_full_response() -> None:
    limits = ConnectionLimits(write=2.0)
    with (
        AsgiServer(Admission(APP), no_web_config(), limits) as server,
        connect(server, GET.replace(b"/healthy", b"/large")) as connection,
    ):
        received = 0
        while received < LARGE:
            part = connection.recv(4 * 1024 * 1024)
            assert part, f"closed after {received} bytes"
            received += len(part)
            time.sleep(0.05)


def test_new_connection_replaces_the_one_that_waits_longest() -> None:
    with AsgiServer(APP, no_web_config(), ConnectionLimits(connections=4)) as server:
        idle = [connect(server, GET)]
        assert idle[0].recv(12) == b"HTTP/1.1 200"
        idle += [connect(server, b"GET /"), connect(server)]
        with httpx.Client(base_url=server.url, timeout=60) as client:
            for _ in range(3):
                assert client.get("/healthy").status_code == 200
            assert [is_closed(connection) for connection in idle] == [False] * 3
            connect(server, GET)
            connect(server, GET)
            wait_until(lambda: is_closed(idle[0]) and is_closed(idle[1]), "longest waiting connections closed")
            assert not is_closed(idle[2])


def test_connection_in_use_is_not_replaced() -> None:
    limits = ConnectionLimits(connections=3)
    with AsgiServer(APP, no_web_config(), limits) as server, ThreadPoolExecutor(1) as pool:
        served = pool.submit(httpx.get, f"{server.url}/slow", timeout=60)
        assert serving.wait(60)
        idle = [connect(server, GET) for _ in range(20)]
        wait_until(lambda: sum(is_closed(connection) for connection in idle) >= 18, "surplus connections closed")
        release.set()
        assert served.result().text == "done\n"


def test_connection_that_blocks_on_its_client_is_replaced_when_none_is_idle() -> None:
    body = b"POST /healthy HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    with AsgiServer(APP, no_web_config(), ConnectionLimits(connections=2)) as server:
        blocked = [connect(server, body), connect(server, body)]
        for connection in blocked:
            assert connection.recv(12) == b"HTTP/1.1 200"
        assert httpx.get(f"{server.url}/healthy", timeout=60).status_code == 200
        wait_until(lambda: is_closed(blocked[0]), "blocked connection closed")


def test_unfinished_handshakes_count_and_have_a_time_limit(tmp_path: Path) -> None:
    authority = Authority("tests")
    authority.issue(tmp_path, "server")
    trusted = ssl.create_default_context(cafile=str(authority.write(tmp_path / "ca.crt")))
    file = tmp_path / "web.yml"
    file.write_text("tls_server_config: {cert_file: server.crt, key_file: server.key}")
    limits = ConnectionLimits(connections=4, handshake=1.0)
    with AsgiServer(APP, ActiveWebConfig(file, report=lambda _: None), limits) as server:
        unfinished = [connect(server, b"\x16\x03\x01") for _ in range(10)]
        wait_until(lambda: sum(map(is_closed, unfinished)) >= 6, "surplus handshakes ended")
        for _ in range(5):
            assert httpx.get(f"{server.url}/healthy", verify=trusted, timeout=60).status_code == 200
        wait_until(lambda: all(map(is_closed, unfinished)), "all handshakes ended")


def test_busy_pages_leave_room_for_scrapes_and_health_checks() -> None:
    app = Admission(APP, pages=2, scrapes=1)
    with AsgiServer(app, no_web_config()) as server, ThreadPoolExecutor(2) as pool:
        busy = [pool.submit(httpx.get, f"{server.url}/slow", timeout=60) for _ in range(2)]

        def rejected() -> httpx.Response | None:
            answer = httpx.get(f"{server.url}/healthy", timeout=60)
            return answer if answer.status_code == 503 else None

        answer = wait_until(rejected, "surplus page rejected")
        assert (answer.headers["retry-after"], answer.text) == ("1", "limit of 2 concurrent requests reached\n")
        for path in ("/metrics", "/-/healthy"):
            assert httpx.get(f"{server.url}{path}", timeout=60).status_code == 200
        release.set()
        assert {one.result().text for one in busy} == {"done\n"}


def test_head_beyond_the_maximum_size_is_rejected() -> None:
    with AsgiServer(APP, no_web_config()) as server, connect(server, b"GET / HTTP/1.1\r\nX: ") as connection:
        connection.sendall(b"x" * 40_000)
        assert connection.recv(12) == b"HTTP/1.1 400"


def test_scrapes_that_are_not_read_hold_no_slot() -> None:
    scrape = GET.replace(b"/healthy", b"/metrics")

    async def large_metrics(scope: Scope, receive: Receive, send: Send) -> None:
        await Response(bytes(LARGE))(scope, receive, send)

    with AsgiServer(Admission(large_metrics, scrapes=2), no_web_config()) as server:
        unread = [connect(server, scrape) for _ in range(4)]
        assert [connection.recv(12) for connection in unread] == [b"HTTP/1.1 200"] * 4

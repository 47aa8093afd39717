"""Servers with incomplete or invalid responses: an error that names them, and a stale document."""

from __future__ import annotations

import json
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from starlight_exporter.errors import MonitoringError
from starlight_exporter.http_client import HttpClient
from starlight_exporter.http_client_config import Endpoint
from starlight_exporter.markdown.alerts import with_silences
from starlight_exporter.markdown.document import STALE
from starlight_exporter.markdown.prometheus import Prometheus
from starlight_exporter.markdown.writer import DashboardWriter
from support.waiting import wait_until

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "mirror_dashboard.py"
DOCUMENT = "# A document\n\nLast update: long ago\n"

INCOMPLETE = b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"status": "succ'
NOT_HTTP = b"not HTTP\r\n\r\n"
INCOMPLETE_ERROR = b'HTTP/1.1 503 Service Unavailable\r\nContent-Length: 500\r\n\r\n{"error": "st'


def answer(content: object) -> bytes:
    body = json.dumps(content).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


NOTHING = answer({"status": "success", "data": {"result": []}})


@contextmanager
def serving(
    answers: Mapping[str, bytes], otherwise: bytes = NOTHING, *, requested: Callable[[], object] = lambda: None
) -> Iterator[str]:
    """Serve these bytes for these paths, then close the connection; yields the URL."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            path = self.rfile.readline().decode().split()[1].partition("?")[0]
            while self.rfile.readline().strip():
                pass
            requested()
            self.wfile.write(answers.get(path, otherwise))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("response", [INCOMPLETE, NOT_HTTP, INCOMPLETE_ERROR])
def test_incomplete_response_is_an_error(response: bytes) -> None:
    with serving({}, response) as url:
        with pytest.raises(
            MonitoringError, match=f"{url}/api/v1/query: Prometheus (is unavailable|responded with 503)"
        ):
            Prometheus(url, HttpClient()).instant("up", at=0.0)
        with pytest.raises(MonitoringError, match=f"{url}/api/v2/alerts: Alertmanager"):
            with_silences((), Endpoint(url))


@pytest.mark.parametrize(
    "content",
    [[], {"data": None}, {"data": {"result": [{"metric": {}}]}}, {"data": {"result": [{"metric": {}, "value": [1]}]}}],
)
def test_invalid_query_result_is_an_error(content: object) -> None:
    with serving({}, answer(content)) as url:
        for ask in (
            lambda: Prometheus(url, HttpClient()).instant("up", at=0.0),
            lambda: Prometheus(url, HttpClient()).range("up", start=0.0, end=60.0, step=60.0),
        ):
            with pytest.raises(MonitoringError, match=f"{url}: the response of Prometheus is not a query result"):
                ask()


@pytest.mark.parametrize("content", [7, {"data": []}, [{}], [{"status": {"silencedBy": []}}], ["alert"]])
def test_invalid_list_of_alerts_is_an_error(content: object) -> None:
    with (
        serving({}, answer(content)) as url,
        pytest.raises(MonitoringError, match=f"{url}: the response of Alertmanager is not its alerts"),
    ):
        with_silences((), Endpoint(url))


def test_document_is_marked_stale_after_error(tmp_path: Path) -> None:
    output = tmp_path / "dashboard.md"
    output.write_text(DOCUMENT)
    invalid = answer({"data": {"result": "no list"}})
    with serving({"/api/v1/query_range": invalid}) as url, pytest.raises(MonitoringError):
        DashboardWriter(Endpoint(url), None, output).update()
    assert STALE in output.read_text()


@pytest.mark.slow
def test_watch_continues_after_incomplete_responses(tmp_path: Path) -> None:
    output = tmp_path / "dashboard.md"
    output.write_text(DOCUMENT)
    requests: list[None] = []
    with serving({}, INCOMPLETE, requested=lambda: requests.append(None)) as url:
        command = [sys.executable, str(SCRIPT), f"--prometheus={url}", f"--output={output}", "--watch=100ms"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                assert process.stdout is not None
                logged = process.stdout.readline()
                # It continues to query, and logs the same error only once.
                before = len(requests)
                wait_until(lambda: len(requests) >= before + 3, "more queries")
                assert process.poll() is None
            finally:
                process.terminate()
            assert process.wait(60) == 0
            assert process.stdout.read() == ""
    assert logged.startswith(f"mirror_dashboard: {url}/api/v1/query: Prometheus is unavailable: IncompleteRead(")
    assert STALE in output.read_text()

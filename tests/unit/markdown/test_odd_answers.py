"""Servers that die while they answer, or answer in another shape: an error that names them, and a stale document."""

from __future__ import annotations

import json
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from starlight_exporter.errors import MonitoringError
from starlight_exporter.markdown.alerts import with_silences
from starlight_exporter.markdown.document import STALE
from starlight_exporter.markdown.prometheus import Prometheus
from starlight_exporter.markdown.watch import Mirror

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "mirror_dashboard.py"
KEPT = "# A document\n\nLast update: long ago\n"

BROKEN_OFF = b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"status": "succ'
NO_HTTP = b"what do you mean?\r\n\r\n"
REFUSED_BROKEN_OFF = b'HTTP/1.1 503 Service Unavailable\r\nContent-Length: 500\r\n\r\n{"error": "st'


def answer(content: object) -> bytes:
    body = json.dumps(content).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


NOTHING = answer({"status": "success", "data": {"result": []}})


@contextmanager
def serving(answers: Mapping[str, bytes], otherwise: bytes = NOTHING) -> Iterator[str]:
    """A server that says these bytes to a GET of these paths and hangs up; its address."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            path = self.rfile.readline().decode().split()[1].partition("?")[0]
            while self.rfile.readline().strip():
                pass
            self.wfile.write(answers.get(path, otherwise))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("said", [BROKEN_OFF, NO_HTTP, REFUSED_BROKEN_OFF])
def test_a_server_that_dies_while_it_answers_gives_no_answer(said: bytes) -> None:
    with serving({}, said) as url:
        with pytest.raises(MonitoringError, match=f"{url}/api/v1/query: Prometheus (gives no answer|refuses with 503)"):
            Prometheus(url).instant("up", at=0.0)
        with pytest.raises(MonitoringError, match=f"{url}/api/v2/alerts: Alertmanager"):
            with_silences((), url)


@pytest.mark.parametrize(
    "content",
    [[], {"data": None}, {"data": {"result": [{"metric": {}}]}}, {"data": {"result": [{"metric": {}, "value": [1]}]}}],
)
def test_an_answer_that_is_no_query_result_says_so(content: object) -> None:
    with serving({}, answer(content)) as url:
        for ask in (
            lambda: Prometheus(url).instant("up", at=0.0),
            lambda: Prometheus(url).range("up", start=0.0, end=60.0, step=60.0),
        ):
            with pytest.raises(MonitoringError, match=f"{url}: Prometheus answers with something else than a query"):
                ask()


@pytest.mark.parametrize(
    "content",
    [[], {}, {"data": {"yaml": "a: [b"}}, {"data": {"yaml": "no mapping"}}, {"data": {"yaml": ""}},
     {"data": {"yaml": "global: [1]"}}, {"data": {"yaml": "global: {external_labels: text}"}}, {"data": {"yaml": 7}}],
)  # fmt: skip
def test_an_answer_that_is_no_configuration_says_so(content: object) -> None:
    with (
        serving({"/api/v1/status/config": answer(content)}) as url,
        pytest.raises(MonitoringError, match=f"{url}: Prometheus answers with something else than its configuration"),
    ):
        Prometheus(url).external_labels()


@pytest.mark.parametrize("content", [7, {"data": []}, [{}], [{"status": {"silencedBy": []}}], ["alert"]])
def test_an_answer_that_is_no_list_of_alerts_says_so(content: object) -> None:
    with (
        serving({}, answer(content)) as url,
        pytest.raises(MonitoringError, match=f"{url}: Alertmanager answers with something else than its alerts"),
    ):
        with_silences((), url)


def test_the_document_is_marked_stale(tmp_path: Path) -> None:
    output = tmp_path / "dashboard.md"
    output.write_text(KEPT)
    odd = answer({"data": {"yaml": "a: [b"}})
    with serving({"/api/v1/status/config": odd}) as url, pytest.raises(MonitoringError):
        Mirror(url, None, output).update()
    assert STALE in output.read_text()


def test_the_mirror_outlives_a_server_that_dies_in_mid_answer(tmp_path: Path) -> None:
    output = tmp_path / "dashboard.md"
    output.write_text(KEPT)
    with serving({}, BROKEN_OFF) as url:
        command = [sys.executable, str(SCRIPT), f"--prometheus={url}", f"--output={output}", "--watch=100ms"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            try:
                assert process.stdout is not None
                told = process.stdout.readline()
                # Several updates later it still tries.
                time.sleep(0.5)
                assert process.poll() is None
            finally:
                process.terminate()
            assert process.wait(10) == 0
            assert process.stdout.read() == ""
    assert told.startswith(f"mirror_dashboard: {url}/api/v1/query: Prometheus gives no answer: IncompleteRead(")
    assert STALE in output.read_text()

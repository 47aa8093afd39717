"""What scripts/smoke_compose.py asks of Grafana, and that it names what is missing."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import promql_parser
import pytest

from stack import smoke_test
from support.dashboards import NAMES, load

UIDS = {load(name)["uid"] for name in NAMES}
SECRET = "made on the first start"


class Answers(ThreadingHTTPServer):
    """The two addresses of Grafana's API that the script asks; what they give is a test's choice."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.dashboards = set(UIDS)
        self.series = True
        self.queries: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Answers

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        if self.headers["Authorization"] != "Basic " + base64.b64encode(f"admin:{SECRET}".encode()).decode():
            self.answer(401, {"message": "Invalid username or password"})
        elif asked.path == "/api/search":
            self.answer(200, [{"uid": uid} for uid in sorted(self.server.dashboards)])
        elif asked.path == "/api/datasources/proxy/uid/prometheus/api/v1/query":
            self.server.queries.append(parse_qs(asked.query)["query"][0])
            result = [{"metric": {}, "value": [0, "0"]}] if self.server.series else []
            self.answer(200, {"status": "success", "data": {"resultType": "vector", "result": result}})
        else:
            self.answer(404, {})

    def answer(self, status: int, content: Any) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def grafana() -> Iterator[Answers]:
    server = Answers()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_every_dashboard_and_an_answer_through_the_proxy_is_all_that_is_wanted(grafana: Answers) -> None:
    assert smoke_test.unprovisioned(grafana.url, SECRET) == []
    (query,) = grafana.queries
    promql_parser.parse(query)


def test_a_dashboard_that_is_not_there_is_named(grafana: Answers) -> None:
    grafana.dashboards.discard("starlight-models")
    assert smoke_test.unprovisioned(grafana.url, SECRET) == ["dashboard starlight-models is not provisioned"]


def test_a_data_source_without_an_answer_is_told(grafana: Answers) -> None:
    grafana.series = False
    (line,) = smoke_test.unprovisioned(grafana.url, SECRET)
    assert "no result from Prometheus" in line


def test_a_wrong_password_is_one_line(grafana: Answers) -> None:
    (line,) = smoke_test.unprovisioned(grafana.url, "admin")
    assert "401" in line

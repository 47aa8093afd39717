"""`smoke_compose.py` queries Grafana and reports what is missing."""

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
SECRET = "generated"


class FakeGrafana(ThreadingHTTPServer):
    """The endpoints of Grafana's API that the script uses; tests set the responses."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.dashboards = set(UIDS)
        self.series = True
        self.queries: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: FakeGrafana

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
        """Log nothing."""


@pytest.fixture
def grafana() -> Iterator[FakeGrafana]:
    server = FakeGrafana()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_accepts_all_dashboards_and_a_query_result(grafana: FakeGrafana) -> None:
    assert smoke_test.unprovisioned(grafana.url, SECRET) == []
    (query,) = grafana.queries
    promql_parser.parse(query)
    assert "$" not in query
    assert '=".+"' not in query, "an exact matcher of a pattern matches nothing"


def test_names_a_missing_dashboard(grafana: FakeGrafana) -> None:
    grafana.dashboards.discard("starlight-models")
    assert smoke_test.unprovisioned(grafana.url, SECRET) == ["dashboard starlight-models is not provisioned"]


def test_reports_a_data_source_without_result(grafana: FakeGrafana) -> None:
    grafana.series = False
    (line,) = smoke_test.unprovisioned(grafana.url, SECRET)
    assert "no result from Prometheus" in line


def test_reports_a_wrong_password_in_one_line(grafana: FakeGrafana) -> None:
    (line,) = smoke_test.unprovisioned(grafana.url, "admin")
    assert "401" in line

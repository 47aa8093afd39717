"""docs/http.md is complete: every route, query parameter, JSON key and CSV table."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from starlight_exporter.dataset.rendered_streams import STREAM_IMAGES
from starlight_exporter.publish.prediction_queries import FILTERS, SELECTION_DIRECTIONS, SHOWN, SLICE_FILTERS
from starlight_exporter.web.app import all_routes
from support.snapshots import FINISHED_AT, example_prediction, full_evaluation, full_snapshot, model_state, run_state
from support.web import LocalServer, idle_application, no_web_config

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
ENDPOINTS = re.findall(r"^\| (GET|POST) \| `([^`]+)` \|", TEXT, re.MULTILINE)
PAGES = re.findall(r"^\| `(/[^`]*)` \| (`[^|]*) \| (`[^|]*) \|$", TEXT, re.MULTILINE)


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_route_is_documented(tmp_path: Path) -> None:
    pages = {path for path, _, _ in PAGES}
    forms = {f"{'/status' if path == '/' else path}.{suffix}" for path in pages for suffix in ("json", "csv")}
    routes = {
        (method, route.path)
        for route in all_routes(idle_application(tmp_path), no_web_config(), lifecycle=True)
        for method in (route.methods or set()) - {"HEAD"}
        if route.path not in forms
    }
    assert set(ENDPOINTS) == routes
    assert len(PAGES) == 11


def test_every_query_parameter_is_documented() -> None:
    read = set()
    for file in (ROOT / "exporter" / "starlight_exporter" / "web").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("get", "getlist")
                and "query" in ast.unparse(node.func.value)
                and isinstance(node.args[0], ast.Constant)
            ):
                read.add(node.args[0].value)
    assert {"model", "prevalence", "against", "page", "name[]"} <= read
    documented = set(names(TEXT))
    assert {*read, *FILTERS, *SLICE_FILTERS, *SELECTION_DIRECTIONS, *SHOWN, *STREAM_IMAGES} <= documented


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    now = full_evaluation(evaluation_id="now")
    before = full_evaluation(evaluation_id="before", finished_at=FINISHED_AT - 900, model_sha256="a" * 64)
    snapshot = full_snapshot().with_model(model_state()).with_run("production", "reference", run_state(now))
    application = idle_application(tmp_path_factory.mktemp("http"), snapshot)
    for result in (before, now):
        application.evidence.store(result, [example_prediction("clean/0.png", verdict=True)])
    with LocalServer(application) as server, httpx.Client(base_url=server.url, timeout=60.0) as opened:
        yield opened


@pytest.mark.parametrize(("path", "keys", "tables"), PAGES)
@pytest.mark.slow
def test_json_keys_and_csv_tables_are_documented(client: httpx.Client, path: str, keys: str, tables: str) -> None:
    page = path.replace("{id}", "now").replace("{number}", "0")
    base = "/status" if page == "/" else page
    assert list(client.get(f"{base}.json").json()) == names(keys)
    html = client.get(page, headers={"Accept": "text/html"}).text
    assert re.findall(r"\.csv\?[^\"]*table=([a-z-]+)", html) == names(tables)
    assert client.get(f"{base}.csv").text == client.get(f"{base}.csv", params={"table": names(tables)[0]}).text


def test_documented_requests_return_documented_status_codes(client: httpx.Client) -> None:
    assert client.post("/-/reload").status_code == 403
    assert client.post("/api/v1/evaluations").status_code == 403
    assert client.get("/-/ready").status_code == 503
    assert client.get("/nowhere").status_code == 404
    assert client.delete("/metrics").status_code == 405
    assert client.head("/metrics").status_code == 200
    assert client.get("/evaluations/now", params={"prevalence": "2"}).status_code == 400
    run = client.get("/evaluations/latest", params={"model": "production", "dataset": "reference", "table": "checks"})
    assert (run.status_code, run.headers["Location"]) == (307, "/evaluations/now?table=checks")

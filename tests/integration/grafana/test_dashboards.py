"""The dashboards over a measured stack, rendered in Chromium with Grafana's components, and every query of theirs.

With STARLIGHT_SCREENSHOTS=FOLDER the screenshots are kept, also at a width of 1920 pixels. Queries are sent to
Prometheus 2.42, Prometheus 3 and VictoriaMetrics. One file, so that the models are evaluated once.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from starlight_exporter.detector.contract import METHODS
from support.dashboard_screenshots import render_dashboards
from support.dashboards import NAMES, DashboardQuery, load, panels, plain, queries
from support.exporter import Exporter
from support.servers import QueryServer
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

HISTORY_SECONDS = 300
SECONDS_OF_QUERIES = 600
STEP = 5
"""Seconds between the times of a range query; the servers scrape every three."""

EMPTY_PANELS = {
    "Last content change": "the dataset did not change",
    "Embedding rate at 50% and 95% detection over time (bytes)": "metadata of all sizes may be detected",
    "Provisional results (samples)": "the dataset is too small to be sampled",
    "Progress of the current evaluation": "the last evaluation may have ended long ago",
    "Firing alerts": "no alert fires on a fast machine",
    "Latency p99": "p99 requires more timings than the dataset has images",
}
"""Panels that may be empty, with the reason."""

EMPTY_QUERIES = {
    "Ablation by stream (F)": "a confident model classifies the clean images correctly without the stream, too",
    "Embedding rate at 50% and 95% detection (B)": "detection of a method may be above both levels at all rates",
    "Embedding rate at 50% and 95% detection (C)": "detection of a method may be above both levels at all rates",
    "Embedding rate at 50% and 95% detection over time (bytes) (A)": "metadata of all sizes may be detected",
    "Embeddings by class (H)": "every class has enough images",
    "annotation Firing alerts": "no alert fires on a fast machine",
    "annotation Model changes": "no model was replaced",
    "Last content change (A)": "the dataset did not change",
    "Evaluations since exporter start (H)": "no evaluation is in progress",
    "Progress of the current evaluation (A)": "the last evaluation may have ended long ago",
    "Firing alerts (A)": "no alert fires on a fast machine",
    "Latency p99 (A)": "p99 requires more timings than the dataset has images",
    "Latency over time (C)": "p99 requires more timings than the dataset has images",
    **{f"Provisional results (samples) ({query})": "the dataset is too small to be sampled" for query in "ABCDEFGH"},
}
"""Queries without data after the first evaluations, with the reason."""

BY_STATE = {
    ("overview", "False positive rate"),
    ("overview", "Lowest detection rate"),
    ("overview", "Latency p95"),
    ("latency", "Latency p95"),
}
"""Stat panels with one query for each result of the checks, of which one has data."""


@pytest.fixture(scope="module")
def rendered(servers: Mapping[str, QueryServer], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The report of every dashboard: state of each panel, links and messages."""
    prometheus = servers["Prometheus"].url
    screenshots = os.environ.get("STARLIGHT_SCREENSHOTS")
    out = Path(screenshots or tmp_path_factory.mktemp("screenshots"))
    if screenshots:
        render_dashboards(prometheus, out / "measured-1920", seconds=HISTORY_SECONDS, width=1920)
    return render_dashboards(prometheus, out / "measured-1280", seconds=HISTORY_SECONDS)


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_is_rendered_with_data(rendered: dict[str, Any], name: str) -> None:
    reported = rendered[name]["panels"].values()
    failed = [panel for panel in reported if panel["status"] not in ("ok", "empty")]
    empty = {panel["title"] for panel in reported if panel["status"] == "empty"}
    assert failed == []
    assert empty <= set(EMPTY_PANELS)


@pytest.mark.parametrize("name", NAMES)
def test_rendering_reports_no_warning(rendered: dict[str, Any], name: str) -> None:
    assert (rendered[name]["warnings"], rendered[name]["errors"]) == ([], [])


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_to_a_page(rendered: dict[str, Any], measuring: Exporter, name: str) -> None:
    linked = [panel["title"] for panel in panels(load(name)) if '"url": "${exporter}' in _text(panel)]
    links = rendered[name]["links"]
    assert bool(links) == bool(linked), linked
    for link in links:
        assert link.startswith(measuring.url), link
        assert httpx.get(link, follow_redirects=True, headers={"Accept": "text/html"}).status_code == 200, link


def test_links_use_the_labels_of_their_row(rendered: dict[str, Any]) -> None:
    links = rendered["overview"]["links"]
    missed = {match[1] for link in links if (match := re.search(r"misclassified\?.*&class=stego&method=(\w+)$", link))}
    assert missed == set(METHODS)
    of_pairs = re.compile(r"model=production&dataset=(reference|incoming)\b")
    assert all(of_pairs.search(link) for link in links if "/evaluations/" in link)


@pytest.mark.parametrize("name", NAMES)
def test_every_query_returns_data(server: QueryServer, name: str) -> None:
    for query in queries(name):
        if query.place not in EMPTY_QUERIES and panel_of(query) not in BY_STATE:
            wait_until_answered(server, query)


@pytest.mark.parametrize("panel", sorted(BY_STATE))
def test_value_with_result_has_one_result(server: QueryServer, panel: tuple[str, str]) -> None:
    expressions = [plain(query.expr, model="production") for query in queries(panel[0]) if panel_of(query) == panel]
    assert len(expressions) > 1
    wait_until(lambda: sum(bool(server.query(expr)) for expr in expressions) == 1, f"one result of {panel}")


def panel_of(query: DashboardQuery) -> tuple[str, str]:
    """Return the dashboard and the title of the panel."""
    return query.dashboard, query.place.rpartition(" (")[0]


def wait_until_answered(server: QueryServer, query: DashboardQuery) -> None:
    """Wait until a query has a result, because a scrape that a busy machine makes late leaves no current value."""
    expr = plain(query.expr, model="production")

    def has_result() -> bool:
        now = time.time()
        if query.instant:
            return bool(server.query(expr))
        return bool(server.query_range(expr, start=now - SECONDS_OF_QUERIES, end=now, step=STEP))

    wait_until(has_result, f"{query.place}: {query.expr}")


def _text(panel: dict[str, Any]) -> str:
    return str(panel["fieldConfig"]).replace("'", '"')

"""Every dashboard query returns data from a Prometheus that scrapes the exporter, and from VictoriaMetrics."""

from __future__ import annotations

import time

import pytest

from support.dashboards import NAMES, DashboardQuery, plain, queries
from support.servers import QueryServer
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

SERVERS = ("measured", "measured_by_3", "stored")
"""Fixtures: Prometheus 2.42, Prometheus 3, and VictoriaMetrics."""

LEGITIMATELY_EMPTY = {
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


def panel_of(query: DashboardQuery) -> tuple[str, str]:
    """Return the dashboard and the title of the panel."""
    return query.dashboard, query.place.rpartition(" (")[0]


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("name", NAMES)
def test_every_query_returns_data(request: pytest.FixtureRequest, server: str, name: str) -> None:
    measured: QueryServer = request.getfixturevalue(server)
    for query in queries(name):
        if query.place not in LEGITIMATELY_EMPTY and panel_of(query) not in BY_STATE:
            wait_until_answered(measured, query)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("panel", sorted(BY_STATE))
def test_value_with_result_has_one_result(request: pytest.FixtureRequest, server: str, panel: tuple[str, str]) -> None:
    measured: QueryServer = request.getfixturevalue(server)
    expressions = [plain(query.expr, model="production") for query in queries(panel[0]) if panel_of(query) == panel]
    assert len(expressions) > 1
    wait_until(lambda: sum(bool(measured.query(expr)) for expr in expressions) == 1, f"one result of {panel}")


def wait_until_answered(prometheus: QueryServer, query: DashboardQuery) -> None:
    """Wait until a query has a result, because a scrape that a busy machine makes late leaves no current value."""
    expr = plain(query.expr, model="production")

    def has_result() -> bool:
        now = time.time()
        if query.instant:
            return bool(prometheus.query(expr))
        return bool(prometheus.query_range(expr, start=now - 600, end=now, step=1))

    wait_until(has_result, f"{query.place}: {query.expr}")

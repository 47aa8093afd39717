"""Every query of every panel, annotation and variable, against a real Prometheus over the real exporter."""

from __future__ import annotations

import time

import pytest

from support.dashboards import NAMES, DashboardQuery, plain, queries
from support.servers import Prometheus

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

LEGITIMATELY_EMPTY = {
    "Ablation by stream (F)": "no clean image changes sides without a stream of a model that is sure of it",
    "annotation Firing alerts": "nothing fires on a machine that is fast enough",
    "annotation Model changes": "no model was replaced",
    "Content changed (A)": "the dataset did not change while the exporter watched",
    "Runs since the exporter started (H)": "no run is under way any more",
    "Progress of the run under way (A)": "a busy machine gets here long after the last run",
    "Firing alerts (A)": "nothing fires on a machine that is fast enough",
    "Latency p99 (A)": "a p99 needs more timings than this dataset has images",
    "Latency over time (C)": "a p99 needs more timings than this dataset has images",
}
"""Places without data in a stack that has just measured everything once, each with the reason."""

RETRIES = 5
"""A scrape that a busy machine makes too late leaves no value of this moment: Grafana, too, asks again."""


@pytest.mark.parametrize("server", ["measured", "measured_by_3"])
@pytest.mark.parametrize("name", NAMES)
def test_every_query_gives_data(request: pytest.FixtureRequest, server: str, name: str) -> None:
    measured: Prometheus = request.getfixturevalue(server)
    empty = []
    for query in queries(name):
        if not answered(measured, query) and query.place not in LEGITIMATELY_EMPTY:
            empty.append(f"{query.place}: {query.expr}")
    assert empty == []


def answered(prometheus: Prometheus, query: DashboardQuery) -> bool:
    """Whether a query has a result, asked as Grafana asks it; AssertionError if Prometheus refuses it."""
    expr = plain(query.expr, model="production")
    for _ in range(1 if query.place in LEGITIMATELY_EMPTY else RETRIES):
        now = time.time()
        if prometheus.query(expr) if query.instant else prometheus.query_range(expr, start=now - 600, end=now, step=1):
            return True
        time.sleep(2)
    return False

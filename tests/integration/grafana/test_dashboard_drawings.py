"""Every dashboard drawn in Chromium with Grafana's own components: no panel fails, none is empty without a reason, and
every link that is drawn leads to a page of the exporter.

STARLIGHT_DRAWINGS=FOLDER keeps the pictures, and has them drawn for a wall (1920 pixels) too.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from starlight_exporter.detector.contract import METHODS
from support.dashboard_screenshots import render_dashboards
from support.dashboards import NAMES, load, panels
from support.exporter import Exporter
from support.servers import Prometheus

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

HISTORY_SECONDS = 300

LEGITIMATELY_EMPTY = {
    "Content changed": "the dataset did not change while the exporter watched",
    "Progress of the run under way": "a busy machine gets here long after the last run",
    "Firing alerts": "nothing fires on a machine that is fast enough",
    "Latency p99": "a p99 needs more timings than this dataset has images",
}


@pytest.fixture(scope="session")
def drawn(
    measured: Prometheus, measuring: Exporter, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """What became of every panel, by dashboard."""
    kept = os.environ.get("STARLIGHT_DRAWINGS")
    out = Path(kept or tmp_path_factory.mktemp("drawings"))
    if kept:
        render_dashboards(
            measured.url, out / "measured-1920", seconds=HISTORY_SECONDS, exporter=measuring.url, width=1920
        )
    return render_dashboards(measured.url, out / "measured-1280", seconds=HISTORY_SECONDS, exporter=measuring.url)


@pytest.mark.parametrize("name", NAMES)
def test_no_panel_fails_and_none_is_empty(drawn: dict[str, Any], name: str) -> None:
    reported = drawn[name]["panels"].values()
    failed = [panel for panel in reported if panel["status"] not in ("ok", "empty")]
    empty = {panel["title"] for panel in reported if panel["status"] == "empty"}
    assert failed == []
    assert empty <= set(LEGITIMATELY_EMPTY)


@pytest.mark.parametrize("name", NAMES)
def test_grafanas_components_have_no_complaint(drawn: dict[str, Any], name: str) -> None:
    assert (drawn[name]["warnings"], drawn[name]["errors"]) == ([], [])


@pytest.mark.parametrize("name", NAMES)
def test_every_link_that_is_drawn_leads_to_a_page(drawn: dict[str, Any], measuring: Exporter, name: str) -> None:
    linked = [panel["title"] for panel in panels(load(name)) if '"url": "${exporter}' in _text(panel)]
    links = drawn[name]["links"]
    assert bool(links) == bool(linked), linked
    for link in links:
        assert link.startswith(measuring.url), link
        assert httpx.get(link, follow_redirects=True, headers={"Accept": "text/html"}).status_code == 200, link


def test_links_are_of_the_rows_that_they_stand_in(drawn: dict[str, Any]) -> None:
    links = drawn["overview"]["links"]
    missed = {match[1] for link in links if (match := re.search(r"misclassified\?.*&class=stego&method=(\w+)$", link))}
    assert missed == set(METHODS)
    assert all("model=production&dataset=reference" in link for link in links if "/evaluations/" in link)


def _text(panel: dict[str, Any]) -> str:
    return str(panel["fieldConfig"]).replace("'", '"')

"""Dashboards rendered in Chromium with Grafana's components: no panel fails or is unexpectedly empty, and links work.

With STARLIGHT_SCREENSHOTS=FOLDER the screenshots are kept, also at a width of 1920 pixels.
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
    "Last content change": "the dataset did not change",
    "Embedding rate at 50% and 95% detection over time (bytes)": "metadata of all sizes may be detected",
    "Provisional results (samples)": "the dataset is too small to be sampled",
    "Progress of the current evaluation": "the last evaluation may have ended long ago",
    "Firing alerts": "no alert fires on a fast machine",
    "Latency p99": "p99 requires more timings than the dataset has images",
}


@pytest.fixture(scope="module")
def rendered(measured: Prometheus, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The report of every dashboard: state of each panel, links and messages."""
    screenshots = os.environ.get("STARLIGHT_SCREENSHOTS")
    out = Path(screenshots or tmp_path_factory.mktemp("screenshots"))
    if screenshots:
        render_dashboards(measured.url, out / "measured-1920", seconds=HISTORY_SECONDS, width=1920)
    return render_dashboards(measured.url, out / "measured-1280", seconds=HISTORY_SECONDS)


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_is_rendered_with_data(rendered: dict[str, Any], name: str) -> None:
    reported = rendered[name]["panels"].values()
    failed = [panel for panel in reported if panel["status"] not in ("ok", "empty")]
    empty = {panel["title"] for panel in reported if panel["status"] == "empty"}
    assert failed == []
    assert empty <= set(LEGITIMATELY_EMPTY)


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


def _text(panel: dict[str, Any]) -> str:
    return str(panel["fieldConfig"]).replace("'", '"')

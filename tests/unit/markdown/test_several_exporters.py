"""The document names and links the exporter of each result, and an alert concerns only the results of its exporter."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from starlight_exporter.markdown.alerts import Episode
from starlight_exporter.markdown.content import Content
from starlight_exporter.markdown.dashboard import build_dashboard
from starlight_exporter.markdown.document import render_document
from starlight_exporter.markdown.exporters import Exporters, exporters_of
from starlight_exporter.markdown.samples import Sample, Samples
from starlight_exporter.publish.collector import StarlightCollector
from starlight_exporter.publish.snapshot import Snapshot
from support.snapshots import FINISHED_AT, full_snapshot

EUROPE = {"job": "europe", "instance": "host:9877"}
ASIA = {"job": "asia", "instance": "host:9877"}
URL = "https://example.org/starlight/"
"""The external URL of `full_snapshot`."""


def scraped(snapshot: Snapshot, target: dict[str, str], url: str) -> Iterator[tuple[str, Sample]]:
    """Yield the samples of an exporter as Prometheus returns them, without empty labels."""
    for metric in StarlightCollector(lambda: snapshot).collect():
        for sample in metric.samples:
            labels = {name: url if name == "external_url" else value for name, value in sample.labels.items()}
            yield sample.name, Sample({name: value for name, value in (labels | target).items() if value}, sample.value)


def document(*alerts: Episode, urls: tuple[str, ...] = (URL, "")) -> str:
    targets = (EUROPE, ASIA)[: len(urls)]
    found = (one for target, url in zip(targets, urls, strict=True) for one in scraped(full_snapshot(), target, url))
    samples = Samples(found)
    dashboard = build_dashboard(samples, now=FINISHED_AT)
    content = Content("Prometheus", dashboard, alerts, (), exporters_of(samples), ())
    return render_document(content, stem="dashboard", now=FINISHED_AT).text


def critical(labels: dict[str, str], name: str = "StarlightNoProductionModel") -> Episode:
    return Episode(name, "critical", {"alertname": name, **labels}, FINISHED_AT, None, "firing")


def status_of(text: str, job: str) -> str:
    lines = text.partition("## Current metrics")[0].splitlines()
    (row,) = (line for line in lines if re.match(rf"\| \[?`production` \({job} .*`reference`", line))
    return row


def test_results_of_two_exporters_are_named_and_linked() -> None:
    text = document()
    assert f"| [`production` (europe host:9877)]({URL}evaluations/latest?model=production&dataset=reference) |" in text
    assert "| `production` (asia host:9877) |" in text, "no link without an external URL"
    for job in ("europe", "asia"):
        assert f"### `production` on `reference` ({job} host:9877)\n" in text
        assert f"`reference` ({job} host:9877)" in text.partition("## Dataset quality")[2]


def test_one_exporter_is_not_named() -> None:
    text = document(urls=(URL,))
    assert "host:9877" not in text
    assert f"| [`production`]({URL}evaluations/latest?model=production&dataset=reference) |" in text


@pytest.mark.parametrize(
    ("labels", "jobs"), [(ASIA, {"asia"}), ({"job": "prometheus"}, {"asia", "europe"}), ({}, {"asia", "europe"})]
)
def test_alert_concerns_the_results_of_its_exporter(labels: dict[str, str], jobs: set[str]) -> None:
    text = document(critical(labels))
    assert {job for job in ("asia", "europe") if "🔴 critical" in status_of(text, job)} == jobs


def test_runbook_is_linked_on_the_exporter_of_the_alert_or_on_any() -> None:
    exporters = Exporters({("a", "1"): "", ("b", "1"): "https://b/", ("c", "1"): "https://c/"})
    assert exporters.runbook("Alert", {"job": "c", "instance": "1"}) == "https://c/runbooks/Alert.md"
    for labels in ({"job": "a", "instance": "1"}, {"job": "prometheus", "instance": "9"}, {}):
        assert exporters.runbook("Alert", labels) == "https://b/runbooks/Alert.md"
    assert Exporters({("a", "1"): ""}).runbook("Alert", {}) is None

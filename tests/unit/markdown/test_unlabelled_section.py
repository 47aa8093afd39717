"""Unlabelled datasets have a section of their own in the document."""

from __future__ import annotations

from typing import Any

from starlight_exporter.evaluation.drift import Drift
from starlight_exporter.markdown.content import Content
from starlight_exporter.markdown.dashboard import build_dashboard
from starlight_exporter.markdown.document import render_document
from starlight_exporter.markdown.exporters import Exporters
from starlight_exporter.markdown.samples import samples_of
from starlight_exporter.publish.snapshot import DatasetState, Snapshot, snapshot_of
from starlight_exporter.statistics.intervals import proportion
from support.snapshots import FINISHED_AT, full_evaluation, run_state, unlabelled_evaluation

HEADER = "| model | dataset | images | outside the window | alarm rate | drift |"


def rows_of(snapshot: Snapshot) -> list[list[str]]:
    dashboard = build_dashboard(samples_of(snapshot), now=FINISHED_AT)
    content = Content("Prometheus", dashboard, None, (), Exporters(), ())
    lines = render_document(content, stem="dashboard", now=FINISHED_AT).text.splitlines()
    if HEADER not in lines:
        return []
    rest = lines[lines.index(HEADER) + 2 :]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in rest[: rest.index("")]]


def with_unlabelled(**changes: Any) -> Snapshot:
    result = unlabelled_evaluation(**changes)
    snapshot = snapshot_of(full_evaluation(), (), None)
    snapshot = snapshot.with_dataset(DatasetState("incoming", labelled=False))
    return snapshot.with_run("production", "incoming", run_state(result))


def test_alarm_rate_and_drift_of_an_unlabelled_dataset() -> None:
    assert rows_of(with_unlabelled()) == [
        [
            "`production`",
            "`incoming`",
            "1,010",
            "5,000",
            "2.00% (95% CI 1.23–3.07%; 20 of 1,000)",
            "🟡 drift from `reference` (largest PSI 0.30, width)",
        ]
    ]


def test_what_was_not_measured_is_not_zero() -> None:
    nothing = Drift("reference", None, 0, 0, {}, "too_few_images", "0 images")
    (row,) = rows_of(with_unlabelled(images=0, alarms=proportion(0, 0), drift=nothing))
    assert row[2] == "0"
    assert row[4:] == ["not measured", "not measured: too few images"]


def test_no_section_without_an_unlabelled_dataset() -> None:
    assert rows_of(snapshot_of(full_evaluation(), (), None)) == []

"""The list of stored evaluations."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.retention import Entry
from starlight_exporter.publish.snapshot import Snapshot
from starlight_exporter.web.pages.check_groups import Level
from starlight_exporter.web.pages.evaluation_list import PATH, ListQuery
from starlight_exporter.web.pages.page import Page, Table

SHOWN = 200


_COLUMNS: Final = (
    ("finished", "finished"),
    ("model", "model"),
    ("dataset", "dataset"),
    ("false positive rate", "false_positive_rate"),
    ("detection rate", "detection_rate"),
    ("checks", "failed_checks"),
)
"""Columns that can be sorted, with the value of the parameter `sort`."""


def evaluations_page(evidence: Evidence, snapshot: Snapshot, query: ListQuery) -> Page:
    """Return the stored evaluations that a query selects, in its order."""
    every = evidence.entries()
    entries = query.selected(every)
    return Page(
        template="evaluations.html",
        path=PATH,
        query=query.parameters,
        values={
            "entries": entries[:SHOWN],
            "count": len(entries),
            "total": len(every),
            "model": query.filters.get("model"),
            "dataset": query.filters.get("dataset"),
            "filters": query.choices(every),
            "columns": [
                (title, query.heading(sort), query.order if sort == query.sort else None) for title, sort in _COLUMNS
            ],
            "levels": {entry.id: _level(entry, snapshot) for entry in entries[:SHOWN]},
        },
        content={"evaluations": [_content(entry) for entry in entries]},
        tables={
            "evaluations": Table(
                (
                    "id",
                    "finished_at",
                    "model",
                    "dataset",
                    "false_positives",
                    "clean_images",
                    "detections",
                    "stego_images",
                    "failed_checks",
                    "significant_checks",
                    "model_sha256",
                    "dataset_fingerprint",
                    "decision",
                ),
                [
                    (
                        e.id,
                        e.finished_at,
                        e.model,
                        e.dataset,
                        e.clean.count,
                        e.clean.total,
                        e.stego.count,
                        e.stego.total,
                        e.failed_checks,
                        e.significant_checks,
                        e.spec.model_sha256,
                        e.spec.dataset_fingerprint,
                        e.spec.decision,
                    )
                    for e in entries
                ],
            )
        },
    )


def _level(entry: Entry, snapshot: Snapshot) -> Level:
    state = snapshot.datasets.get(entry.dataset)
    if state is not None and not state.alerts:
        return "quiet"
    return "bad" if entry.significant_checks else "warn" if entry.failed_checks else "good"


def _content(entry: Entry) -> dict[str, object]:
    content = asdict(entry)
    spec = content.pop("spec")
    return content | {name: spec[name] for name in ("dataset_fingerprint", "model_sha256", "decision")}

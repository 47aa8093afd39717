"""The list of stored evaluations."""

from __future__ import annotations

from dataclasses import asdict

from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.retention import Entry
from starlight_exporter.publish.snapshot import Snapshot
from starlight_exporter.web.pages.check_groups import Level
from starlight_exporter.web.pages.page import Page, Table

SHOWN = 200


def evaluations_page(evidence: Evidence, snapshot: Snapshot, model: str | None, dataset: str | None) -> Page:
    """Return the stored evaluations, newest first, optionally of one model or dataset."""
    entries = evidence.entries(model, dataset)
    query = {name: value for name, value in (("model", model), ("dataset", dataset)) if value is not None}
    return Page(
        template="evaluations.html",
        path="/evaluations",
        query=query,
        values={
            "entries": entries[:SHOWN],
            "count": len(entries),
            "model": model,
            "dataset": dataset,
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

"""Paired comparison of two evaluations of the same images: fixed and broken images, and significance by slice."""

from __future__ import annotations

from starlight_exporter.analysis.comparison import FALSE_DISCOVERY_RATE
from starlight_exporter.evaluation.spec import differences
from starlight_exporter.publish.changes import SliceChange, changes
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.prediction_queries import Selection, SelectionDirection
from starlight_exporter.publish.prediction_store import StoredPrediction
from starlight_exporter.publish.retention import Entry
from starlight_exporter.web.pages import links
from starlight_exporter.web.pages.images import image_content
from starlight_exporter.web.pages.page import Page, Table

SHOWN_FLIPS = 24


def comparison_page(evidence: Evidence, entry: Entry, before: Entry | None, against: str | None) -> Page:
    """Compare an evaluation with `before`, which is None if no other evaluation of these images is stored."""
    found: tuple[SliceChange, ...] = () if before is None else changes(evidence, before, entry)
    others = [
        other
        for other in evidence.entries(dataset=entry.dataset)
        if other.id != entry.id and not differences(other.spec, entry.spec, "images")
    ]
    broken = [] if before is None else _flips(evidence, entry, before, "broken")
    fixed = [] if before is None else _flips(evidence, entry, before, "fixed")
    clean = next((change for change in found if change.file_class == "clean"), None)
    stego = next((change for change in found if change.file_class == "stego"), None)
    rows = [(change, name(change), _link(entry, before, change)) for change in found]
    return Page(
        template="comparison.html",
        path=f"{links.evaluation(entry.id)}/comparison",
        query={} if against is None else {"against": against},
        values={
            "entry": entry,
            "before": before,
            "same_file": before is not None and not differences(before.spec, entry.spec, "model"),
            "same_rule": before is not None and not differences(before.spec, entry.spec, "rule"),
            "others": others,
            "rows": rows,
            "clean": clean,
            "stego": stego,
            "significant": [(change, name(change)) for change in found if change.conclusion in ("better", "worse")],
            "rate_limit": FALSE_DISCOVERY_RATE,
            "flips": [
                ("broken", "Broken: correct before, misclassified now", broken),
                ("fixed", "Fixed: misclassified before, correct now", fixed),
            ],
            "limit": SHOWN_FLIPS,
            "totals": {
                kind: sum(getattr(one, kind) for one in found if _is_disjoint(one)) for kind in ("broken", "fixed")
            },
        },
        content={
            "evaluation": entry.id,
            "against": None if before is None else before.id,
            "false_discovery_rate": FALSE_DISCOVERY_RATE,
            "slices": [{"slice": name(change), "conclusion": change.conclusion, "change": change} for change in found],
            "broken": [image_content(entry, row) for row, _ in broken],
            "fixed": [image_content(entry, row) for row, _ in fixed],
        },
        tables={"slices": _table(found)},
    )


def name(change: SliceChange) -> str:
    """Return the name of a slice."""
    if change.method is not None:
        return f"stego, {change.method}"
    if change.image_format is not None:
        return f"clean, {change.image_format}"
    if change.category is not None:
        return f"negative, {change.category}"
    return f"all {change.file_class} images"


def _is_disjoint(change: SliceChange) -> bool:
    """Return whether the slice is one of those that together contain every image once."""
    return change.method is None and change.image_format is None


def _flips(
    evidence: Evidence, entry: Entry, before: Entry, direction: SelectionDirection
) -> list[tuple[StoredPrediction, StoredPrediction | None]]:
    store = evidence.open(entry, before=before)
    rows = store.page(Selection(direction=direction), limit=SHOWN_FLIPS)
    before_rows = store.previous(rows)
    return [(row, before_rows.get(row.number)) for row in rows]


def _link(entry: Entry, before: Entry | None, change: SliceChange) -> str | None:
    """Return the URL of the changed images of a slice: the broken ones if there are any, else the fixed ones."""
    if before is None or not (change.broken or change.fixed):
        return None
    return links.misclassified(
        entry.id,
        file_class=change.file_class,
        method=change.method,
        format=change.image_format,
        category=change.category,
        direction="broken" if change.broken else "fixed",
        against=before.id,
    )


def _table(found: tuple[SliceChange, ...]) -> Table:
    return Table(
        (
            "class",
            "method",
            "format",
            "category",
            "images",
            "wrong_before",
            "wrong_after",
            "fixed",
            "broken",
            "mcnemar_p_value",
            "adjusted_p_value",
            "conclusion",
        ),
        [
            (
                c.file_class,
                c.method,
                c.image_format,
                c.category,
                c.after.total,
                c.before.count,
                c.after.count,
                c.fixed,
                c.broken,
                c.p_value,
                c.adjusted,
                c.conclusion,
            )
            for c in found
        ],
    )

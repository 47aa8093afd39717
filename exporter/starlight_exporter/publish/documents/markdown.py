"""The few pieces that every document is made of: tables, rates with their certainty, provenance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from starlight_exporter.analysis.stream_effects import AblationStudy
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.formatting import utc


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the first column is text, the others are numbers."""
    alignment = ["---", *("---:" for _ in headings[1:])]
    return "\n".join(_row(cells) for cells in (headings, alignment, *rows))


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(escaped(cell) for cell in cells) + " |"


def escaped(text: str) -> str:
    """Text that cannot break out of its cell or become a tag."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def provenance_rows(results: Iterable[Evaluation | AblationStudy]) -> list[tuple[str, ...]]:
    """What each result was made with: model, hash, dataset, fingerprint, rule, time."""
    return [
        (
            one.model,
            f"`{one.provenance.model_sha256[:12]}`",
            one.dataset,
            f"`{one.provenance.dataset_fingerprint[:12]}`",
            one.provenance.decision,
            utc(one.finished_at),
        )
        for one in results
    ]


PROVENANCE_HEADINGS = ("model", "SHA-256", "dataset", "fingerprint", "decision rule", "measured")

"""Markdown tables and the provenance section, which every document has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from starlight_exporter.analysis.stream_effects import AblationStudy
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.formatting import utc

RATE_NOTE: Final = "Rates have exact 95% confidence intervals (Clopper-Pearson) and counts."

PROVENANCE_HEADINGS: Final = ("model", "SHA-256", "dataset", "fingerprint", "decision rule", "evaluated")


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table with a left-aligned first column and right-aligned other columns."""
    alignment = ["---", *("---:" for _ in headings[1:])]
    return "\n".join(_row(cells) for cells in (headings, alignment, *rows))


def escaped(text: str) -> str:
    """Escape a text that could end its cell or start an HTML tag."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def provenance_rows(results: Iterable[Evaluation | AblationStudy]) -> list[tuple[str, ...]]:
    """Return model, dataset, decision rule and time of each result."""
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


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(escaped(cell) for cell in cells) + " |"

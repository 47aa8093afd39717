"""Markdown summary of one run of the gate, as the job summary of a CI system."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from starlight_exporter.checks.results import CheckResult
from starlight_exporter.checks.suite import missing_images
from starlight_exporter.formatting import integer, utc
from starlight_exporter.publish.gate.report import GateReport, WrongImages, distinct

LISTED: Final = 10
"""Misclassified images that are listed of each slice; the others are counted."""

_HEADINGS: Final = ("check", "slice", "result", "detail")


def markdown_summary(report: GateReport) -> str:
    """Return a section with the result, the failed checks with their images, and all checks in a folded table."""
    return "\n\n".join(_parts(report)) + "\n\n"


def _parts(report: GateReport) -> Iterator[str]:
    evaluation = report.evaluation
    yield f"## {_text(report.result)}"
    against = f", compared with {_code(report.baseline)}" if report.baseline else ""
    yield (
        f"Gate: {_code(evaluation.model)} (SHA-256 {_code(evaluation.provenance.model_sha256[:12])}) on"
        f" {integer(evaluation.images)} images of {_code(evaluation.dataset)}{against}, {utc(evaluation.finished_at)}."
    )
    if missing := missing_images(evaluation):
        yield f"{_text(missing)}."
    open_checks = [check for check in report.checks if not check.passed]
    if open_checks:
        yield _table(open_checks)
    for wrong in distinct(report.wrong):
        yield _images(wrong)
    yield _folded(f"All {integer(len(report.checks))} checks", _table(report.checks))


def _images(wrong: WrongImages) -> str:
    paths = [f"- {_code(one.prediction.path)}{' (broken)' if one.broken else ''}" for one in wrong.images[:LISTED]]
    if len(wrong.images) > LISTED:
        paths.append(f"- {integer(len(wrong.images) - LISTED)} more")
    title = f"Misclassified {_text(wrong.title)}: {integer(len(wrong.images))}"
    return _folded(title, "\n".join(paths))


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{content}\n\n</details>"


def _table(checks: Sequence[CheckResult]) -> str:
    rows = [(check.name, check.slice, check.conclusion, check.detail) for check in checks]
    lines = [_HEADINGS, tuple("---" for _ in _HEADINGS), *(tuple(map(_text, row)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(text: str) -> str:
    """Join the lines of a text and escape markup, so that it ends neither its cell nor its block."""
    joined = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{char}" if char in "\\`*_[]|~#" else char for char in joined)


def _code(text: str) -> str:
    """Format text as inline code; characters that would end it are replaced."""
    return f"`{' '.join(text.split()).replace('`', chr(0x2019)).replace('|', chr(0xA6))}`"

"""The part of a comparison that is about the data: shortcuts, leakage, and how much results depend on the source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from starlight_exporter.analysis.comparison import FALSE_DISCOVERY_RATE
from starlight_exporter.analysis.source_gaps import Gap, dataset_gaps, format_gaps
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.formatting import NOT_MEASURED, fraction, integer, p_value, percentage_points_interval, rate
from starlight_exporter.publish.documents.markdown import table
from starlight_exporter.statistics.hypothesis_tests import benjamini_hochberg
from starlight_exporter.statistics.intervals import Proportion

SHORTCUT_CONCERN: Final = 0.1
"""A single rule that finds more of a method than this, with certainty, is pointed out."""


def data_quality(evaluations: Sequence[Evaluation]) -> list[str]:
    """Blocks of markdown, with headings of level 3, on the data behind these evaluations."""
    return [
        "### Shortcuts",
        "How much of each method a rule on one fact of the file (a length, a size, one of the twelve floats) finds,"
        " counted on files that it was not chosen on. What such a rule finds, a detector can find without looking at a"
        " pixel.",
        _or_not_measured(
            ("dataset and method", "found", "false alarms", "best rule over all files", "says"), _shortcuts(evaluations)
        ),
        "### Leakage",
        _or_not_measured(("model and dataset", "files that it was trained on", "files"), _leakage(evaluations)),
        "Not measured where no manifest of training files (`scripts/hash_dataset.py`) lies beside the model, or beside"
        " a carded one of the same bytes.",
        "### Cover-source mismatch",
        _or_not_measured(
            ("model and slice", "rate", "here", "elsewhere", "difference", "p", "p adjusted", "says"),
            _gaps(evaluations),
        ),
        "The same model on one slice against the rest of its images: clean files of one format against the dataset's"
        " other formats, one dataset against the others. Differences have 95% intervals (Newcombe); p: exact test"
        f" (Fisher), adjusted (Benjamini and Hochberg) over all rows, called a difference up to"
        f" {FALSE_DISCOVERY_RATE:g}.",
    ]


def _or_not_measured(headings: Sequence[str], rows: Iterable[tuple[str, ...]]) -> str:
    found = list(rows)
    return table(headings, found) if found else f"{NOT_MEASURED.capitalize()}."


def _shortcuts(evaluations: Iterable[Evaluation]) -> Iterator[tuple[str, ...]]:
    # Facts of files do not depend on the model: the newest look at each content of a dataset counts.
    newest: dict[tuple[str, str], Evaluation] = {}
    for one in sorted(evaluations, key=lambda evaluation: evaluation.finished_at):
        newest[one.dataset, one.provenance.dataset_fingerprint] = one
    for one in newest.values():
        for method, shortcut in one.shortcuts.items():
            yield (
                f"{one.dataset}: {method}",
                rate(shortcut.detected),
                rate(shortcut.false_positives),
                f"`{shortcut.rule}`",
                _concern(shortcut.detected),
            )


def _concern(found: Proportion) -> str:
    if found.lower is not None and found.lower > SHORTCUT_CONCERN:
        return "**shortcut**: so much of its detection may be no steganalysis"
    return "none seen"


def _leakage(evaluations: Iterable[Evaluation]) -> Iterator[tuple[str, ...]]:
    for one in evaluations:
        leaked = NOT_MEASURED if one.leaked_images is None else integer(one.leaked_images)
        yield f"{one.model} on {one.dataset}", leaked, integer(one.images)


def _gaps(evaluations: Sequence[Evaluation]) -> Iterator[tuple[str, ...]]:
    gaps: list[Gap] = [*(gap for one in evaluations for gap in format_gaps(one)), *dataset_gaps(evaluations)]
    for gap, adjusted in zip(gaps, benjamini_hochberg([gap.p_value for gap in gaps]), strict=True):
        differs = adjusted is not None and adjusted <= FALSE_DISCOVERY_RATE
        yield (
            f"{gap.model} on {gap.dataset}{'' if gap.image_format is None else f', {gap.image_format}'}",
            "false positives" if gap.rate == "false_positive" else f"detection, {gap.rate}",
            fraction(gap.here),
            fraction(gap.elsewhere),
            percentage_points_interval(gap.difference, gap.lower, gap.upper),
            p_value(gap.p_value),
            p_value(adjusted),
            "**differs**" if differs else "chance explains it",
        )

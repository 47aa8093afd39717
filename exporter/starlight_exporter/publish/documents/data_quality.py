"""The data-quality part of a comparison: shortcuts, leakage and cover-source mismatch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from starlight_exporter.analysis.comparison import FALSE_DISCOVERY_RATE
from starlight_exporter.analysis.source_gaps import Gap, dataset_gaps, format_gaps
from starlight_exporter.dataset.shortcuts import MIN_YOUDEN_J, SIGNIFICANCE_LEVEL, Shortcut
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.formatting import (
    NOT_MEASURED,
    fraction,
    integer,
    p_value,
    percentage_points_interval,
    rate,
)
from starlight_exporter.publish.documents.markdown import table
from starlight_exporter.statistics.hypothesis_tests import benjamini_hochberg


def data_quality(evaluations: Sequence[Evaluation]) -> list[str]:
    """Return markdown blocks, with level 3 headings, on the data of these evaluations."""
    return [
        "### Shortcuts",
        "The best rule on a single property of the file for each method (a length, a size, or a format feature),"
        " compared with clean files of the same format and mode, cross-validated. A detector can reach this rate"
        " without analysing pixels. J: detection rate minus false positive rate (Youden), with joint 95% limits; p:"
        " permutation test, adjusted for all properties and methods. A rule is reported as a shortcut if it is"
        " significant"
        f" (p ≤ {SIGNIFICANCE_LEVEL:g}) and the lower limit of J is at least {MIN_YOUDEN_J:g}.",
        _table_or_not_measured(
            (
                "dataset and method",
                "best rule",
                "detection rate",
                "false positive rate",
                "J",
                "p",
                "result",
            ),
            _shortcuts(evaluations),
        ),
        "### Leakage",
        _table_or_not_measured(("model and dataset", "training files in the dataset", "files"), _leakage(evaluations)),
        "Not measured without a manifest of training files (`scripts/hash_dataset.py`) next to the model, or next to a"
        " model with a card and the same bytes.",
        "### Cover-source mismatch",
        _table_or_not_measured(
            ("model and slice", "rate", "slice", "other images", "difference", "p", "adjusted p", "result"),
            _gaps(evaluations),
        ),
        "One slice compared with the other images of the same model: clean files of one format with the other formats"
        " of the dataset, one dataset with the other datasets. Differences have 95% confidence intervals (Newcombe). p:"
        " Fisher's exact test; adjusted (Benjamini-Hochberg) over all rows, significant up to"
        f" {FALSE_DISCOVERY_RATE:g}.",
    ]


def _table_or_not_measured(headings: Sequence[str], rows: Iterable[tuple[str, ...]]) -> str:
    found = list(rows)
    return table(headings, found) if found else f"{NOT_MEASURED.capitalize()}."


def _shortcuts(evaluations: Iterable[Evaluation]) -> Iterator[tuple[str, ...]]:
    # Properties of files do not depend on the model: the newest evaluation of each dataset content is used.
    newest: dict[tuple[str, str], Evaluation] = {}
    for one in sorted(evaluations, key=lambda evaluation: evaluation.finished_at):
        newest[one.dataset, one.provenance.dataset_fingerprint] = one
    for one in newest.values():
        for method, shortcut in one.shortcuts.items():
            yield (
                f"{one.dataset}: {method}",
                f"`{shortcut.rule}`",
                rate(shortcut.detected),
                rate(shortcut.false_positives),
                _youden_j(shortcut),
                p_value(shortcut.p_value),
                "**shortcut**" if shortcut.is_fault else "no shortcut",
            )


def _youden_j(shortcut: Shortcut) -> str:
    if shortcut.youden_j is None or shortcut.youden_j_lower is None or shortcut.youden_j_upper is None:
        return NOT_MEASURED
    return f"{shortcut.youden_j:.2f} ({shortcut.youden_j_lower:.2f} to {shortcut.youden_j_upper:.2f})"


def _leakage(evaluations: Iterable[Evaluation]) -> Iterator[tuple[str, ...]]:
    for one in evaluations:
        leaked = NOT_MEASURED if one.leaked_images is None else integer(one.leaked_images)
        yield f"{one.model} on {one.dataset}", leaked, integer(one.images)


def _gaps(evaluations: Sequence[Evaluation]) -> Iterator[tuple[str, ...]]:
    gaps: list[Gap] = [*(gap for one in evaluations for gap in format_gaps(one)), *dataset_gaps(evaluations)]
    for gap, adjusted in zip(gaps, benjamini_hochberg([gap.p_value for gap in gaps]), strict=True):
        significant = adjusted is not None and adjusted <= FALSE_DISCOVERY_RATE
        yield (
            f"{gap.model} on {gap.dataset}{'' if gap.image_format is None else f', {gap.image_format}'}",
            "false positives" if gap.rate == "false_positive" else f"detection, {gap.rate}",
            fraction(gap.here),
            fraction(gap.elsewhere),
            percentage_points_interval(gap.difference, gap.lower, gap.upper),
            p_value(gap.p_value),
            p_value(adjusted),
            "**significant**" if significant else "not significant",
        )

"""The table of all metrics of two evaluations on one dataset, with their differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from starlight_exporter.analysis.comparison import PairedSlice
from starlight_exporter.checks.latency_checks import checked_latency
from starlight_exporter.detector.contract import METHODS
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.formatting import (
    NOT_MEASURED,
    decimal,
    milliseconds,
    milliseconds_difference,
    p_value,
    percentage_points,
    rate,
    signed,
)
from starlight_exporter.publish.documents.slice_tests import DatasetComparison
from starlight_exporter.statistics.intervals import Proportion, proportion

NOT_TESTED: Final = "not tested"


def metric_changes(result: DatasetComparison) -> Iterator[tuple[str, ...]]:
    """Yield metric, baseline value, candidate value, difference, direction and p-value of the paired test."""
    old, new, slices = result.baseline, result.candidate, result.comparison.slices
    yield _rate_row("false positive rate", old.clean, new.clean, slices["clean"], lower_is_better=True)
    yield _rate_row("detection rate, all methods", old.stego, new.stego, slices["stego"])
    for method in METHODS:
        before, after = old.detections.get(method), new.detections.get(method)
        yield _rate_row(f"detection rate, {method}", before, after, slices[method])
    for name in dict.fromkeys((*old.clean_by_format, *new.clean_by_format)):
        yield _rate_row(
            f"false positive rate, {name}", old.clean_by_format.get(name), new.clean_by_format.get(name), None
        )
    yield _rate_row(
        "false positive rate, all hard negatives",
        _all_negatives(old),
        _all_negatives(new),
        slices["negative"],
        lower_is_better=True,
    )
    for category in dict.fromkeys((*old.negatives, *new.negatives)):
        yield _rate_row(
            f"false positive rate, hard negatives: {category}",
            old.negatives.get(category),
            new.negatives.get(category),
            None,
        )
    for title, value, other in (
        ("ROC AUC", old.roc_auc, new.roc_auc),
        ("log loss", old.log_loss, new.log_loss),
        ("expected calibration error", old.expected_calibration_error, new.expected_calibration_error),
    ):
        yield (title, decimal(value), decimal(other), *_change(value, other, signed), NOT_TESTED)
    old_p95, new_p95 = _p95(old), _p95(new)
    change = _change(old_p95, new_p95, milliseconds_difference)
    yield ("latency p95", milliseconds(old_p95), milliseconds(new_p95), *change, NOT_TESTED)


def _rate_row(
    title: str,
    before: Proportion | None,
    after: Proportion | None,
    paired: PairedSlice | None,
    *,
    lower_is_better: bool = False,
) -> tuple[str, ...]:
    """`paired` is None if the slice has no paired test; its direction is then neither better nor worse."""
    old = None if before is None else before.ratio
    new = None if after is None else after.ratio
    test = NOT_TESTED if paired is None else p_value(paired.p_value) if paired.images else ""
    change = _change(old, new, percentage_points)
    if paired is not None and change[1] in ("higher", "lower"):
        improved = (change[1] == "lower") == lower_is_better
        change = (change[0], "better" if improved else "worse")
    return (title, rate(before), rate(after), *change, test)


def _change(before: float | None, after: float | None, text: Callable[[float], str]) -> tuple[str, str]:
    if before is None or after is None:
        return NOT_MEASURED, ""
    difference = after - before
    return text(difference), "same" if difference == 0 else "higher" if difference > 0 else "lower"


def _all_negatives(evaluation: Evaluation) -> Proportion:
    categories = evaluation.negatives.values()
    return proportion(sum(each.count for each in categories), sum(each.total for each in categories))


def _p95(evaluation: Evaluation) -> float | None:
    measured = checked_latency(evaluation)
    return None if measured is None else measured.seconds

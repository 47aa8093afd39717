"""Rates by slice: value, interval, number of images, and the comparison with the limit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from starlight_exporter.checks.limits import DEFAULT_LIMITS, CheckName
from starlight_exporter.checks.results import CheckResult
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.statistics.intervals import Proportion
from starlight_exporter.statistics.sample_sizes import LimitComparison, RequiredSide, compare_with_limit
from starlight_exporter.web.pages import links
from starlight_exporter.web.pages.page import Table


@dataclass(frozen=True, slots=True)
class Bar:
    """An interval on a common scale, in percent of its width; `limit` is None where it is outside the scale."""

    lower: float
    value: float
    upper: float
    limit: float | None


@dataclass(frozen=True, slots=True)
class SliceRow:
    """One rate. `link` is the URL of its misclassified images; `bar` is None if nothing was measured."""

    name: str
    rate: Proportion
    link: str | None
    limit: float
    required: RequiredSide
    comparison: LimitComparison
    bar: Bar | None


@dataclass(frozen=True, slots=True)
class SliceGroup:
    """The rates of one table, on one scale; `rate_name` is the heading of their column."""

    name: str
    title: str
    rate_name: str
    rows: tuple[SliceRow, ...]


def groups(evaluation: Evaluation, checks: Sequence[CheckResult] = ()) -> tuple[SliceGroup, ...]:
    """Return false positives by format, detections by method, negatives by category, and the limits of the checks."""
    key = evaluation.id
    limits = {(check.name, check.slice): check.limit for check in checks}

    def limit(name: CheckName, slice_: str, default: float) -> float:
        known = limits.get((name, slice_))
        return default if known is None else known

    target = limit("fpr_target", "", DEFAULT_LIMITS.fpr_target)
    false_positives = [("all clean images", evaluation.clean, links.misclassified(key, file_class="clean"), target)]
    format_default = DEFAULT_LIMITS.format_default + DEFAULT_LIMITS.format_consistency
    false_positives += [
        (
            name,
            rate,
            links.misclassified(key, file_class="clean", format=name),
            limit("format_consistency", name, format_default),
        )
        for name, rate in evaluation.clean_by_format.items()
    ]
    detections: list[tuple[str, Proportion, str, float]] = [
        (
            method,
            rate,
            links.misclassified(key, file_class="stego", method=method),
            limit("detection_target", method, DEFAULT_LIMITS.detection_target),
        )
        for method, rate in evaluation.detections.items()
    ]
    all_methods = detections[0][3] if detections else DEFAULT_LIMITS.detection_target
    detections.append(("all stego images", evaluation.stego, links.misclassified(key, file_class="stego"), all_methods))
    negatives = [
        (
            name,
            rate,
            links.misclassified(key, file_class="negative", category=name),
            limit("negatives", name, DEFAULT_LIMITS.negatives),
        )
        for name, rate in evaluation.negatives.items()
    ]
    return (
        _group("false_positives", "False positives", "false positive rate", false_positives, "below"),
        _group("detections", "Detections", "detection rate", detections, "above"),
        _group("negatives", "Hard negatives", "false positive rate", negatives, "below"),
    )


def table(found: Iterable[SliceGroup]) -> Table:
    """Return the rates of all groups as a table."""
    return Table(
        ("group", "slice", "ratio", "lower", "upper", "count", "images", "limit", "result", "more_images_needed"),
        [
            (
                group.name,
                row.name,
                row.rate.ratio,
                row.rate.lower,
                row.rate.upper,
                row.rate.count,
                row.rate.total,
                row.limit,
                row.comparison.result,
                row.comparison.more_images,
            )
            for group in found
            for row in group.rows
        ],
    )


def content(found: Iterable[SliceGroup]) -> dict[str, list[dict[str, object]]]:
    """Return the rates of all groups by name, for JSON."""
    return {
        group.name: [
            {
                "slice": row.name,
                "rate": row.rate,
                "limit": row.limit,
                "result": row.comparison.result,
                "more_images_needed": row.comparison.more_images,
                "images": row.link,
            }
            for row in group.rows
        ]
        for group in found
    }


def _group(
    name: str, title: str, rate_name: str, rates: Sequence[tuple[str, Proportion, str, float]], required: RequiredSide
) -> SliceGroup:
    lows = [rate.lower for _, rate, _, _ in rates if rate.lower is not None]
    highs = [rate.upper for _, rate, _, _ in rates if rate.upper is not None]
    limits = [limit for *_, limit in rates]
    scale = (
        (0.0, max([*highs, *limits], default=1.0)) if required == "below" else (min([*lows, *limits], default=0.0), 1.0)
    )
    return SliceGroup(name, title, rate_name, tuple(_row(entry, required, scale) for entry in rates))


def _row(entry: tuple[str, Proportion, str, float], required: RequiredSide, scale: tuple[float, float]) -> SliceRow:
    name, rate, link, limit = entry
    bar = None
    if rate.ratio is not None and rate.lower is not None and rate.upper is not None:
        bar = interval_bar(rate.lower, rate.ratio, rate.upper, limit, scale)
    return SliceRow(
        name, rate, link if rate.total else None, limit, required, compare_with_limit(rate, limit, required), bar
    )


def interval_bar(lower: float, value: float, upper: float, limit: float, scale: tuple[float, float]) -> Bar:
    """Return positions on the scale (lowest and highest value), clamped to its ends."""
    low, high = scale

    def position(number: float) -> float:
        return round(min(1.0, max(0.0, (number - low) / ((high - low) or 1.0))) * 100, 2)

    return Bar(position(lower), position(value), position(upper), position(limit) if low <= limit <= high else None)

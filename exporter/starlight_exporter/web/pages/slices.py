"""Rates by slice: value, interval, number of images, and the result of the check of each rate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from starlight_exporter.checks.limits import CheckName
from starlight_exporter.checks.results import CheckResult, Conclusion
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.statistics.intervals import Proportion
from starlight_exporter.statistics.sample_sizes import SampleSize
from starlight_exporter.web.pages import links
from starlight_exporter.web.pages.check_groups import CheckRow, check_row
from starlight_exporter.web.pages.inconclusive import sample_for_check
from starlight_exporter.web.pages.page import Table

ScaleStart = Literal["zero", "lowest value"]


@dataclass(frozen=True, slots=True)
class Bar:
    """An interval on a common scale, in percent of its width; `limit` is None where it is outside the scale."""

    lower: float
    value: float
    upper: float
    limit: float | None


@dataclass(frozen=True, slots=True)
class SliceRow:
    """One rate. `link` is the URL of its misclassified images; `bar` is None if nothing was measured.

    `row` is the check of the rate, None for a rate without a check; `needed` is the sample for a conclusive pass.
    """

    name: str
    rate: Proportion
    link: str | None
    row: CheckRow | None
    needed: SampleSize | None
    bar: Bar | None

    @property
    def limit(self) -> float | None:
        """The limit of the check."""
        return None if self.row is None else self.row.check.limit

    @property
    def result(self) -> Conclusion | None:
        """The conclusion of the check."""
        return None if self.row is None else self.row.check.conclusion

    @property
    def more_images(self) -> int | None:
        """The number of additional images for a conclusive pass."""
        return None if self.needed is None else self.needed.images - self.rate.total


@dataclass(frozen=True, slots=True)
class SliceGroup:
    """The rates of one table, on one scale; `rate_name` and `checks` are the headings of rates and results."""

    name: str
    title: str
    rate_name: str
    checks: str
    rows: tuple[SliceRow, ...]


@dataclass(frozen=True, slots=True)
class _Rate:
    name: str
    rate: Proportion
    link: str
    check: CheckResult | None


def groups(evaluation: Evaluation, checks: Sequence[CheckResult], *, alerts: bool) -> tuple[SliceGroup, ...]:
    """Return false positives by format, detections by method and negatives by category, each with its check.

    Without `alerts` on the dataset, the results have no colour.
    """
    key = evaluation.id
    by_slice = {(check.name, check.slice): check for check in checks}

    def check(name: CheckName, slice_: str) -> CheckResult | None:
        return by_slice.get((name, slice_))

    false_positives = [
        _Rate(
            "all clean images", evaluation.clean, links.misclassified(key, file_class="clean"), check("fpr_target", "")
        ),
        *(
            _Rate(
                name,
                rate,
                links.misclassified(key, file_class="clean", format=name),
                check("format_consistency", name),
            )
            for name, rate in evaluation.clean_by_format.items()
        ),
    ]
    detections = [
        *(
            _Rate(
                method,
                rate,
                links.misclassified(key, file_class="stego", method=method),
                check("detection_target", method),
            )
            for method, rate in evaluation.detections.items()
        ),
        _Rate("all stego images", evaluation.stego, links.misclassified(key, file_class="stego"), None),
    ]
    negatives = [
        _Rate(
            name,
            rate,
            links.misclassified(key, file_class="negative", category=name),
            check("negatives", name),
        )
        for name, rate in evaluation.negatives.items()
    ]

    def group(name: str, title: str, names: tuple[str, str], rates: Sequence[_Rate], start: ScaleStart) -> SliceGroup:
        scale = _scale(rates, start)
        return SliceGroup(name, title, *names, tuple(_row(evaluation, one, scale, alerts=alerts) for one in rates))

    return (
        group(
            "false_positives",
            "False positives",
            ("false positive rate", "FPR target, format consistency"),
            false_positives,
            "zero",
        ),
        group("detections", "Detections", ("detection rate", "detection target"), detections, "lowest value"),
        group("negatives", "Hard negatives", ("false positive rate", "negatives"), negatives, "zero"),
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
                row.result,
                row.more_images,
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
                "check": None if row.row is None else row.row.check.name,
                "limit": row.limit,
                "result": row.result,
                "more_images_needed": row.more_images,
                "images": row.link,
            }
            for row in group.rows
        ]
        for group in found
    }


def _scale(rates: Sequence[_Rate], start: ScaleStart) -> tuple[float, float]:
    """Return the ends of the common scale: from zero, or up to 100%."""
    values = [
        value
        for one in rates
        for value in (one.rate.lower, one.rate.upper, None if one.check is None else one.check.limit)
        if value is not None
    ]
    if start == "zero":
        return 0.0, max(values, default=1.0)
    return min(values, default=0.0), 1.0


def _row(evaluation: Evaluation, one: _Rate, scale: tuple[float, float], *, alerts: bool) -> SliceRow:
    rate, check = one.rate, one.check
    bar = None
    if rate.ratio is not None and rate.lower is not None and rate.upper is not None:
        bar = interval_bar(rate.lower, rate.ratio, rate.upper, None if check is None else check.limit, scale)
    return SliceRow(
        name=one.name,
        rate=rate,
        link=one.link if rate.total else None,
        row=None if check is None else check_row(evaluation.id, check, alerts=alerts),
        needed=None if check is None else sample_for_check(evaluation, check),
        bar=bar,
    )


def interval_bar(lower: float, value: float, upper: float, limit: float | None, scale: tuple[float, float]) -> Bar:
    """Return positions on the scale (lowest and highest value), clamped to its ends."""
    low, high = scale

    def position(number: float) -> float:
        return round(min(1.0, max(0.0, (number - low) / ((high - low) or 1.0))) * 100, 2)

    on_scale = limit is not None and low <= limit <= high
    return Bar(
        position(lower), position(value), position(upper), position(limit) if limit is not None and on_scale else None
    )

"""Results by payload: curves of detection by embedding rate, and rates by properties of the images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from starlight_exporter.dataset.embedding import RateUnit
from starlight_exporter.detector.contract import Method
from starlight_exporter.evaluation.payload_results import (
    MAX_SOURCES,
    OTHER_SOURCES,
    MethodPayload,
    PayloadResult,
    PropertySlice,
    SliceProperty,
)
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.formatting import axis_percent, percent, percent_range
from starlight_exporter.publish.charts import Chart, Line, LogScale, Panel, inline_svg, linear_scale
from starlight_exporter.statistics.intervals import Proportion
from starlight_exporter.statistics.isotonic import DoseAtLevel
from starlight_exporter.web.pages import links
from starlight_exporter.web.pages.page import CHART_WIDTH, SitePath, Table
from starlight_exporter.web.pages.slices import Bar, interval_bar

_MOST_TICKS: Final = 8
_HIGHEST_POWER: Final = 20
"""The highest rate is 7.4e19 bits per pixel: the largest payload that can be stated (2**63 - 1 bytes) in one pixel."""
TITLES: Final[dict[SliceProperty, str]] = {
    "size": "Image size (pixels)",
    "reaches_crop": "Payload reaches the centre crop",
    "bit_order": "Bit order",
    "source": "Source of the cover",
    "format": "Format",
}


@dataclass(frozen=True, slots=True)
class LinkedRate:
    """A rate with the URL of its misclassified images, None if they cannot be selected, and its bar."""

    rate: Proportion
    link: SitePath | None
    bar: Bar | None


@dataclass(frozen=True, slots=True)
class RateRow:
    """The detections of a method in one bin of embedding rates."""

    method: Method
    unit: RateUnit
    name: str
    mean_rate: float
    detections: LinkedRate


@dataclass(frozen=True, slots=True)
class PropertyRow:
    """The rates of the images with one value of a property; None without such images."""

    name: str
    detections: LinkedRate | None
    false_positives: LinkedRate | None


@dataclass(frozen=True, slots=True)
class PropertyTable:
    """The slices of one property."""

    name: SliceProperty
    title: str
    rows: tuple[PropertyRow, ...]

    @property
    def has_false_positives(self) -> bool:
        """Whether a slice has clean images."""
        return any(row.false_positives is not None for row in self.rows)


@dataclass(frozen=True, slots=True)
class PayloadSection:
    """The section of a page. `thresholds` are (method, unit, result at a level)."""

    not_measured: str | None
    charts: tuple[tuple[Method, Markup], ...]
    thresholds: tuple[tuple[Method, RateUnit, DoseAtLevel], ...]
    rows: tuple[RateRow, ...]
    unknown: int
    properties: tuple[PropertyTable, ...]


def payload_section(evaluation: Evaluation) -> PayloadSection | None:
    """Return the section of an evaluation, None if its version did not measure by payload."""
    payload = evaluation.payload
    if payload is None:
        return None
    return PayloadSection(
        not_measured=payload.not_measured,
        charts=tuple((method, _chart(method, result)) for method, result in payload.methods.items() if result.curve),
        thresholds=tuple(
            (method, result.unit, at) for method, result in payload.methods.items() for at in result.thresholds
        ),
        rows=tuple(_rate_rows(evaluation.id, payload)),
        unknown=sum(result.unknown for result in payload.methods.values()),
        properties=tuple(_property_table(evaluation.id, name, slices) for name, slices in payload.slices.items()),
    )


def payload_tables(evaluation: Evaluation) -> dict[str, Table]:
    """Return the CSV tables of the section, empty if the version of the evaluation did not measure by payload."""
    payload = evaluation.payload or PayloadResult({}, None, {})
    methods = payload.methods.items()
    return {
        "payload": Table(
            ("method", "unit", "embedding_rate", "mean_rate", "ratio", "lower", "upper", "count", "images", "covers"),
            [
                (method, result.unit, one.name, one.mean_rate, *_cells(one.detections))
                for method, result in methods
                for one in result.bins
            ],
        ),
        "payload-curves": Table(
            ("method", "unit", "rate", "detection_rate", "lower", "upper"),
            [
                (method, result.unit, point.dose, point.rate, point.lower, point.upper)
                for method, result in methods
                for point in result.curve
            ],
        ),
        "payload-thresholds": Table(
            ("method", "unit", "detection_rate", "rate", "lower", "upper", "not_measured"),
            [
                (method, result.unit, at.level, at.dose, at.lower, at.upper, at.reason)
                for method, result in methods
                for at in result.thresholds
            ],
        ),
        "payload-slices": Table(
            ("property", "value", "rate", "ratio", "lower", "upper", "count", "images", "covers"),
            list(_slice_cells(payload)),
        ),
    }


def _slice_cells(payload: PayloadResult) -> Iterator[tuple[str | int | float | None, ...]]:
    for name, slices in payload.slices.items():
        for one in slices:
            for rate, value in (("detection", one.detections), ("false_positive", one.false_positives)):
                if value is not None:
                    yield (name, one.name, rate, *_cells(value))


def _cells(rate: Proportion) -> tuple[float | int | None, ...]:
    return (
        rate.ratio,
        rate.lower,
        rate.upper,
        rate.count,
        rate.total,
        rate.total if rate.covers is None else rate.covers,
    )


def _rate_rows(key: str, payload: PayloadResult) -> Iterator[RateRow]:
    for method, result in payload.methods.items():
        for one in result.bins:
            link = links.misclassified(key, file_class="stego", method=method, embedding_rate=one.name)
            linked = _linked(one.detections, link, (0.0, 1.0))
            yield RateRow(method, result.unit, one.name, one.mean_rate, linked)


def _property_table(key: str, name: SliceProperty, slices: Sequence[PropertySlice]) -> PropertyTable:
    highest = _highest(one.false_positives for one in slices)

    def linked(rate: Proportion | None, file_class: str, scale: float) -> Iterator[LinkedRate]:
        if rate is not None:
            link = links.misclassified(key, file_class=file_class, **{name: value})
            yield _linked(rate, None if pooled else link, (0.0, scale))

    rows = []
    for one in slices:
        value = one.name
        pooled = name == "source" and value == OTHER_SOURCES and len(slices) > MAX_SOURCES
        rows.append(
            PropertyRow(
                value,
                next(linked(one.detections, "stego", 1.0), None),
                next(linked(one.false_positives, "clean", highest), None),
            )
        )
    return PropertyTable(name, TITLES[name], tuple(rows))


def _highest(rates: Iterable[Proportion | None]) -> float:
    """Return the highest bound, the end of the common scale of the bars."""
    return max((rate.upper for rate in rates if rate is not None and rate.upper is not None), default=1.0)


def _linked(rate: Proportion, link: SitePath | None, scale: tuple[float, float]) -> LinkedRate:
    bar = None
    if rate.ratio is not None and rate.lower is not None and rate.upper is not None:
        bar = interval_bar(rate.lower, rate.ratio, rate.upper, None, scale)
    return LinkedRate(rate, link, bar)


def _chart(method: Method, result: MethodPayload) -> Markup:
    points = [(point.dose, point.rate) for point in result.curve]
    crossed = [(at.dose, f"{at.level:.0%}") for at in result.thresholds if at.dose is not None]
    line = Line(
        points=points,
        lower=[(one.dose, one.lower) for one in result.curve if one.lower is not None],
        upper=[(one.dose, one.upper) for one in result.curve if one.upper is not None],
        titles=[
            f"{one.dose:.3g} {result.unit}: {percent(one.rate)} (95% CI {percent_range(one.lower, one.upper)})"
            for one in result.curve
        ],
    )
    chart = Chart(
        title=f"{method}: detection rate by embedding rate",
        note=f"x: {result.unit} (logarithmic); y: detection rate; band: pointwise 95% CI",
        x=_logarithmic_scale([point.dose for point in result.curve]),
        panels=(Panel(y=linear_scale((), axis_percent, low=0.0, high=1.0), lines=(line,)),),
        width=CHART_WIDTH,
        marks=crossed,
    )
    return Markup(inline_svg(chart))


def _logarithmic_scale(doses: Sequence[float]) -> LogScale:
    """Return a scale from one step of 1, 2, 5, 10, … to another, with ticks at the steps."""
    steps = [float(f"{digit}e{power}") for power in range(-9, _HIGHEST_POWER + 1) for digit in (1, 2, 5)]
    first = max(step for step in steps if step <= min(doses))
    last = min(step for step in steps if step >= max(doses) and step > first)
    shown = [step for step in steps if first <= step <= last]
    if len(shown) > _MOST_TICKS:
        shown = [step for step in shown if math.isclose(math.log10(step), round(math.log10(step)))]
    ticks = tuple((step, f"{step / 1000:g}k" if step >= 1000 else f"{step:.9g}") for step in shown)
    return LogScale(first, last, ticks)

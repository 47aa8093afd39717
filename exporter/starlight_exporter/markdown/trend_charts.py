"""The trend charts of one model on one dataset: false positives, detections and latency over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from starlight_exporter.checks.limits import LATENCY_QUANTILE
from starlight_exporter.formatting import axis_milliseconds, axis_percent, milliseconds, percent
from starlight_exporter.markdown.trends import Points, Trend, Trends
from starlight_exporter.publish.charts import Chart, Limit, Line, Panel, linear_scale, time_scale

WIDTH = 860
HEADROOM = 1.1
"""Space above the limit, so that its line is not the upper edge of the chart."""
_RATE_NOTE = "line: rate; band: 95% CI (Clopper-Pearson)"


def false_positives_chart(trends: Trends, subject: str) -> Chart | None:
    """Return the false positive rate with its 95% band and the target in use; None without a value."""
    trend = trends.false_positives
    if not trend.value:
        return None
    target = trends.limits.get(("fpr_target", ""))
    values = (*_values(trend.value), *_values(trend.upper), *_headroom(target))
    panel = Panel(
        y=linear_scale(values, axis_percent, low=0.0),
        lines=(_line(trend, percent),),
        limit=_limit("target", target, percent),
    )
    return _chart(trends, f"False positive rate of {subject}", _RATE_NOTE, (panel,))


def detections_chart(trends: Trends, subject: str) -> Chart | None:
    """Return the detection rate of each method with its 95% band and the target in use; None without a value."""
    methods = {name: trend for name, trend in trends.detections.items() if trend.value}
    if not methods:
        return None
    targets = {name: trends.limits.get(("detection_target", name)) for name in methods}
    values = [value for trend in methods.values() for value in (*_values(trend.value), *_values(trend.lower))]
    lowest = min((*values, *(target for target in targets.values() if target is not None)))
    # One scale for all methods, at least 0.1 high: methods stay comparable, and noise does not look like a drop.
    bottom = min(0.9, math.floor(lowest * 10) / 10)
    panels = tuple(
        Panel(
            name=name,
            y=linear_scale((), axis_percent, low=bottom, high=1.0, ticks=2),
            lines=(_line(trend, percent),),
            limit=_limit("target", targets[name], percent),
            height=64,
        )
        for name, trend in methods.items()
    )
    return _chart(trends, f"Detection rate of {subject}", _RATE_NOTE, panels)


def latency_chart(trends: Trends, subject: str) -> Chart | None:
    """Return the latency quantiles and the limit in use; None without a value."""
    quantiles = {name: trend for name, trend in trends.latency.items() if trend.value}
    if not quantiles:
        return None
    limit = trends.limits.get(("latency_limit", f"p{LATENCY_QUANTILE * 100:g}"))
    values = [value for trend in quantiles.values() for value in _values(trend.value)]
    panel = Panel(
        y=linear_scale((*values, *_headroom(limit)), axis_milliseconds, low=0.0),
        lines=tuple(_line(trend, milliseconds, f"{name} ") for name, trend in quantiles.items()),
        limit=_limit("p95 limit", limit, milliseconds),
    )
    return _chart(trends, f"Latency of {subject}", "one image at a time, from file to verdict", (panel,))


def _headroom(limit: float | None) -> tuple[float, ...]:
    return () if limit is None else (limit * HEADROOM,)


def _limit(name: str, limit: float | None, text: Callable[[float], str]) -> Limit | None:
    return None if limit is None else Limit(limit, f"{name} {text(limit)}")


def _chart(trends: Trends, title: str, note: str, panels: tuple[Panel, ...]) -> Chart:
    start, end = (f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}" for at in (trends.start, trends.end))
    return Chart(
        title=title,
        note=f"{start} to {end} UTC; {note}; dotted: another model file; gap: not measured",
        x=time_scale(trends.start, trends.end),
        panels=panels,
        width=WIDTH,
        marks=[(change.at, change.sha256[:7]) for change in trends.changes],
        longest_gap=trends.longest_gap,
    )


def _line(trend: Trend, text: Callable[[float], str], name: str = "") -> Line:
    return Line(trend.value, f"{name}{text(trend.value[-1][1])}", trend.lower, trend.upper)


def _values(points: Points) -> Iterable[float]:
    return (value for _, value in points)

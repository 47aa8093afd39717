"""The trend charts: one picture each, panels one below the other over the same time axis."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from starlight_exporter.checks.regression import DETECTION_TARGET, FPR_TARGET, LATENCY_LIMIT_SECONDS
from starlight_exporter.markdown.history import DAY, HOUR, History, Points, Trend
from starlight_exporter.markdown.svg import Drawing

WIDTH = 860
LEFT, RIGHT, TOP, BOTTOM = 74, 96, 74, 34
PANEL_GAP = 22
_COLOURS = ("first", "second", "third")
_TIME_STEPS = (HOUR / 6, HOUR, 3 * HOUR, 6 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY)


@dataclass(frozen=True, slots=True)
class Line:
    """One trend of a panel, with the name that stands at its end."""

    name: str
    trend: Trend


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes; `limit` is drawn and named, `bottom` and `top` are the value axis."""

    name: str
    lines: tuple[Line, ...]
    limit: float
    limit_name: str
    bottom: float
    top: float
    height: int
    shown: Callable[[float], str]


def false_positives_chart(history: History, subject: str) -> str | None:
    """False positive rate with its 95 % band and the target; None without a value."""
    trend = history.false_positives
    if not trend.value:
        return None
    panel = Panel(
        name="",
        lines=(Line("rate", trend),),
        limit=FPR_TARGET,
        limit_name=f"target {_percent(FPR_TARGET)}",
        bottom=0.0,
        top=_above((*_values(trend.value), *_values(trend.upper), FPR_TARGET)),
        height=200,
        shown=_percent,
    )
    return _draw(history, f"False positive rate of {subject}", "line: rate; band: exact 95 % interval", (panel,))


def detections_chart(history: History, subject: str) -> str | None:
    """Detection rate of each method with its 95 % band and the target; None without a value."""
    trends = {name: trend for name, trend in history.detections.items() if trend.value}
    if not trends:
        return None
    lowest = min(value for trend in trends.values() for value in (*_values(trend.value), *_values(trend.lower)))
    # Equal axes, so that methods can be compared; never so narrow that noise looks like a fall.
    bottom = min(0.9, math.floor(lowest * 10) / 10)
    panels = tuple(
        Panel(
            name=name,
            lines=(Line("rate", trend),),
            limit=DETECTION_TARGET,
            limit_name=f"target {_percent(DETECTION_TARGET)}",
            bottom=bottom,
            top=1.0,
            height=64,
            shown=_percent,
        )
        for name, trend in trends.items()
    )
    return _draw(history, f"Detection rate of {subject}", "line: rate; band: exact 95 % interval", panels)


def latency_chart(history: History, subject: str) -> str | None:
    """Latency quantiles and the limit; None without a value."""
    trends = {name: trend for name, trend in history.latency.items() if trend.value}
    if not trends:
        return None
    values = [value for trend in trends.values() for value in _values(trend.value)]
    panel = Panel(
        name="",
        lines=tuple(Line(name, trend) for name, trend in trends.items()),
        limit=LATENCY_LIMIT_SECONDS,
        limit_name=f"limit {_milliseconds(LATENCY_LIMIT_SECONDS)}",
        bottom=0.0,
        top=_above((*values, LATENCY_LIMIT_SECONDS)),
        height=200,
        shown=_milliseconds,
    )
    note = "one image at a time, from file bytes to verdict; the limit holds for p95"
    return _draw(history, f"Latency of {subject}", note, (panel,))


def _draw(history: History, title: str, note: str, panels: Sequence[Panel]) -> str:
    height = TOP + sum(panel.height for panel in panels) + PANEL_GAP * (len(panels) - 1) + BOTTOM
    drawing = Drawing(WIDTH, height, title=title, description=f"{_span(history)}; {note}; dotted: another model file")
    drawing.text((16, 24), title, "title")
    drawing.text((WIDTH - 16, 24), _span(history), "quiet", anchor="end")
    drawing.text((16, 42), f"{note}; dotted: another model file; gap: nothing measured", "quiet")
    top = float(TOP)
    for panel in panels:
        _Axes(drawing, history, panel, top).draw(first=panel is panels[0], last=panel is panels[-1])
        top += panel.height + PANEL_GAP
    return drawing.to_text()


class _Axes:
    """One panel at its place in the picture."""

    def __init__(self, drawing: Drawing, history: History, panel: Panel, top: float) -> None:
        self._drawing = drawing
        self._history = history
        self._panel = panel
        self._top = top
        self._bottom = top + panel.height
        self._right = float(WIDTH - RIGHT)

    def draw(self, *, first: bool, last: bool) -> None:
        self._grid(with_times=last)
        for line, colour in zip(self._panel.lines, _COLOURS, strict=False):
            for lower, upper in self._band_segments(line.trend):
                self._drawing.polygon((*lower, *reversed(upper)), "band")
            for segment in self._segments(line.trend.value):
                if len(segment) == 1:
                    self._drawing.dot(segment[0], f"{colour}-fill")
                else:
                    self._drawing.polyline(segment, colour)
        self._limit()
        self._changes(named=first)
        self._end_labels()

    def _grid(self, *, with_times: bool) -> None:
        panel, drawing = self._panel, self._drawing
        for value in _ticks(panel.bottom, panel.top, 5 if panel.height > 100 else 2):
            y = self._y(value)
            drawing.line((LEFT, y), (self._right, y), "grid")
            drawing.text((LEFT - 8, y + 4), panel.shown(value), "quiet", anchor="end")
        if panel.name:
            drawing.text((LEFT, self._top - 5), panel.name)
        span = self._history.end - self._history.start
        step = next((one for one in _TIME_STEPS if span / one <= 8), _TIME_STEPS[-1])
        at = math.ceil(self._history.start / step) * step
        while at <= self._history.end:
            x = self._x(at)
            drawing.line((x, self._top), (x, self._bottom), "grid")
            if with_times:
                drawing.text((x, self._bottom + 18), _time(at, step), "quiet", anchor="middle")
            at += step

    def _limit(self) -> None:
        y = self._y(self._panel.limit)
        self._drawing.line((LEFT, y), (self._right, y), "limit")
        self._drawing.text((LEFT + 4, y - 4 if y - 12 > self._top else y + 13), self._panel.limit_name, "limit-text")

    def _changes(self, *, named: bool) -> None:
        free_from = 0.0
        for change in self._history.changes:
            x = self._x(change.at)
            self._drawing.line((x, self._top), (x, self._bottom), "mark")
            if named and x >= free_from:
                self._drawing.text((x, self._top - 6), change.sha256[:7], "mark-text", anchor="middle")
                free_from = x + 60

    def _end_labels(self) -> None:
        """The newest value of each line beside its end, moved apart where they would cover each other."""
        ends = sorted(
            (self._y(line.trend.value[-1][1]), line, colour)
            for line, colour in zip(self._panel.lines, _COLOURS, strict=False)
        )
        lowest = -math.inf
        for y, line, colour in ends:
            place = max(y + 4, lowest + 14)
            lowest = place
            value = self._panel.shown(line.trend.value[-1][1])
            text = f"{line.name} {value}" if len(self._panel.lines) > 1 else value
            self._drawing.text((self._right + 8, place), text, f"{colour}-fill")

    def _segments(self, points: Points) -> list[list[tuple[float, float]]]:
        """Runs of points with no gap in between, in pixels."""
        segments: list[list[tuple[float, float]]] = []
        before = -math.inf
        for at, value in points:
            if at - before > self._history.longest_gap:
                segments.append([])
            segments[-1].append((self._x(at), self._y(value)))
            before = at
        return segments

    def _band_segments(self, trend: Trend) -> list[tuple[list[tuple[float, float]], list[tuple[float, float]]]]:
        both = {at for at, _ in trend.lower} & {at for at, _ in trend.upper}
        lower = self._segments(tuple(point for point in trend.lower if point[0] in both))
        upper = self._segments(tuple(point for point in trend.upper if point[0] in both))
        # A single point's interval has no width of its own: two pixels show it.
        wide = [(_widened(one), _widened(other)) for one, other in zip(lower, upper, strict=True)]
        return [(one, other) for one, other in wide if one]

    def _x(self, at: float) -> float:
        share = (at - self._history.start) / (self._history.end - self._history.start)
        return LEFT + share * (self._right - LEFT)

    def _y(self, value: float) -> float:
        panel = self._panel
        share = (min(max(value, panel.bottom), panel.top) - panel.bottom) / (panel.top - panel.bottom)
        return self._bottom - share * panel.height


def _widened(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    if len(points) != 1:
        return points
    ((x, y),) = points
    return [(x - 1, y), (x + 1, y)]


def _values(points: Points) -> tuple[float, ...]:
    return tuple(value for _, value in points)


def _above(values: Sequence[float]) -> float:
    """The top of an axis from 0 that leaves a tenth of room."""
    return max(values) * 1.1


def _ticks(bottom: float, top: float, about: int) -> list[float]:
    """Round numbers from bottom to top, about so many."""
    rough = (top - bottom) / about
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= rough * 0.999)
    first = math.ceil(round(bottom / step, 6))
    last = math.floor(round(top / step, 6))
    return [round(i * step, 12) for i in range(first, last + 1)]


def _percent(ratio: float) -> str:
    return f"{float(f'{ratio * 100:.3g}'):g} %"


def _milliseconds(seconds: float) -> str:
    return f"{float(f'{seconds * 1e3:.3g}'):g} ms"


def _time(at: float, step: float) -> str:
    """A tick's text: the day where a day begins, else the time."""
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment:%d %b}" if step >= DAY or at % DAY == 0 else f"{moment:%H:%M}"


def _span(history: History) -> str:
    start, end = (datetime.fromtimestamp(at, UTC) for at in (history.start, history.end))
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"

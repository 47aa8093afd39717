"""Line charts as SVG, shared by the web pages and the markdown dashboard.

A chart has one horizontal scale and one panel or more, one below the other. Texts are escaped, and equal charts give
equal text. The colours are in chart.css: pages link to it, SVG files contain it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal
from xml.etree import ElementTree

from starlight_exporter.publish import style_sheets

NAMESPACE: Final = "http://www.w3.org/2000/svg"

MARGIN: Final = 16
LEFT, TOP, BOTTOM, LABEL_WIDTH, PANEL_GAP = 74, 74, 34, 96, 22

SERIES: Final = 6
"""Lines with a colour of their own."""

HOUR, DAY = 3_600.0, 86_400.0
_TIME_STEPS: Final = (HOUR / 6, HOUR, 3 * HOUR, 6 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY)

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear axis from `low` to `high`, with its ticks as (value, text)."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    def share(self, value: float) -> float:
        """Return the position of a value between `low` (0) and `high` (1)."""
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True)
class LogScale:
    """A logarithmic axis from `low` to `high`, both positive, with its ticks as (value, text)."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    def share(self, value: float) -> float:
        """Return the position of a value between `low` (0) and `high` (1); values up to `low` are at `low`."""
        return math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)


@dataclass(frozen=True, slots=True)
class Line:
    """One series in data units, ascending in x.

    `label` is written at the end of the line. `lower` and `upper` are the bounds of its interval, for a band. `titles`
    are tooltips, one per point; a line with titles shows its points as dots.
    """

    points: Sequence[Point]
    label: str = ""
    lower: Sequence[Point] = ()
    upper: Sequence[Point] = ()
    titles: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Dot:
    """A single point with its tooltip."""

    at: Point
    title: str


@dataclass(frozen=True, slots=True)
class Limit:
    """A horizontal line at a value of the vertical scale, with its text."""

    value: float
    text: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes, `height` pixels high. chart.css has colours for SERIES lines; dots have the second one.

    The text of the limit is next to the name, or at the limit in a panel without a name.
    """

    y: Scale | LogScale
    lines: tuple[Line, ...]
    name: str = ""
    limit: Limit | None = None
    height: int = 200
    dots: tuple[Dot, ...] = ()


@dataclass(frozen=True, slots=True)
class Chart:
    """`note` explains the axes, lines and marks below the title; `marks` are vertical lines as (x, text).

    Points more than `longest_gap` apart in x are not connected.
    """

    title: str
    note: str
    x: Scale | LogScale
    panels: tuple[Panel, ...]
    width: int
    marks: Sequence[tuple[float, str]] = ()
    longest_gap: float = math.inf


def linear_scale(
    values: Iterable[float],
    text: Callable[[float], str],
    *,
    low: float | None = None,
    high: float | None = None,
    ticks: int = 5,
) -> Scale:
    """Return a scale with about `ticks` round steps that includes all values, `low` and `high`.

    ValueError without any value.
    """
    known = [*values, *(end for end in (low, high) if end is not None)]
    least, greatest = min(known), max(known)
    if least == greatest:
        half = (abs(least) or 1.0) * 0.5
        least, greatest = (max(least - half, 0.0) if least >= 0 else least - half), greatest + half
    raw = (greatest - least) / ticks
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(least / step + 1e-9), math.ceil(greatest / step - 1e-9)
    steps = [round(number * step, 12) for number in range(first, last + 1)]
    return Scale(steps[0], steps[-1], tuple((value, text(value)) for value in steps))


def log_scale(low: float, text: Callable[[float], str], *, high: float = 1.0) -> LogScale:
    """Return a scale from the power of ten at or below `low` to `high`, with a tick at each power of ten.

    ValueError unless 0 < low < high.
    """
    if not 0 < low < high:
        raise ValueError(f"expected 0 < low < high, got {low} and {high}")
    first, last = math.floor(math.log10(low) + 1e-9), math.floor(math.log10(high) + 1e-9)
    powers = [10.0**exponent for exponent in range(first, last + 1)]
    return LogScale(powers[0], high, tuple((value, text(value)) for value in powers))


def time_scale(start: float, end: float) -> Scale:
    """Return a scale from `start` to `end` (UTC seconds) with at most nine ticks at full hours or days."""
    step = next((one for one in _TIME_STEPS if (end - start) / one <= 8), _TIME_STEPS[-1])
    first, last = math.ceil(start / step), math.floor(end / step)
    return Scale(start, end, tuple((n * step, _time_text(n * step, step)) for n in range(first, last + 1)))


def inline_svg(chart: Chart) -> str:
    """Return the chart as an element of an HTML page that links to chart.css."""
    return _serialise(_element(chart))


def svg_file(chart: Chart) -> str:
    """Return the chart as the text of an SVG file, with its own style sheet and background."""
    root = _element(chart)
    root.set("width", str(chart.width))
    root.set("height", str(_height(chart)))
    style = ElementTree.Element("style")
    style.text = style_sheets.style(style_sheets.CHARTS)
    background = ElementTree.Element("rect", {"class": "background", "width": "100%", "height": "100%"})
    root[0:0] = [style, background]
    return _serialise(root)


def sparkline(values: Sequence[float], *, low: float, high: float, width: int = 96, height: int = 24) -> str:
    """Return the SVG `points` of a small line on the scale from `low` to `high`; empty for fewer than two values."""
    if len(values) < 2:
        return ""
    step = (width - 6) / (len(values) - 1)
    return " ".join(
        f"{round(3 + index * step, 1)},{round(height - 3 - (value - low) / (high - low) * (height - 6), 1)}"
        for index, value in enumerate(values)
    )


def _serialise(root: ElementTree.Element) -> str:
    ElementTree.indent(root, " ")
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _height(chart: Chart) -> int:
    return TOP + sum(panel.height for panel in chart.panels) + PANEL_GAP * (len(chart.panels) - 1) + BOTTOM


def _element(chart: Chart) -> ElementTree.Element:
    root = ElementTree.Element(
        "svg",
        {
            "xmlns": NAMESPACE,
            "class": "chart",
            "viewBox": f"0 0 {chart.width} {_height(chart)}",
            "role": "img",
            "aria-label": chart.title,
        },
    )
    ElementTree.SubElement(root, "desc").text = chart.note
    _text(root, (MARGIN, 24), chart.title, "title")
    _text(root, (MARGIN, 42), chart.note, "secondary")
    labels = any(line.label for panel in chart.panels for line in panel.lines)
    right = float(chart.width - (LABEL_WIDTH if labels else MARGIN))
    top = float(TOP)
    for panel in chart.panels:
        plot = _Plot(root, chart, panel, top, right)
        plot.render(first=panel is chart.panels[0], last=panel is chart.panels[-1])
        top += panel.height + PANEL_GAP
    return root


class _Plot:
    """One panel at its position in the chart, in pixels from the top left corner."""

    def __init__(self, root: ElementTree.Element, chart: Chart, panel: Panel, top: float, right: float) -> None:
        self._root = root
        self._chart = chart
        self._panel = panel
        self._top = top
        self._bottom = top + panel.height
        self._right = right

    def render(self, *, first: bool, last: bool) -> None:
        """Add the panel's elements; the first panel names the marks, the last one has the ticks of x."""
        self._grid(with_x_ticks=last)
        for number, line in enumerate(self._panel.lines):
            self._line(line, number)
        for one in self._panel.dots:
            dot = _dot(self._root, (self._x(one.at[0]), self._y(one.at[1])), 1)
            ElementTree.SubElement(dot, "title").text = one.title
        self._limit()
        self._marks(with_text=first)
        self._end_labels()

    def _grid(self, *, with_x_ticks: bool) -> None:
        for value, text in self._panel.y.ticks:
            y = self._y(value)
            _line(self._root, (LEFT, y), (self._right, y), "grid")
            _text(self._root, (LEFT - 8, y + 4), text, "secondary", anchor="end")
        limit = self._panel.limit
        if self._panel.name:
            name = self._panel.name if limit is None else f"{self._panel.name}, {limit.text}"
            _text(self._root, (LEFT, self._top - 5), name)
        for value, text in self._chart.x.ticks:
            x = self._x(value)
            _line(self._root, (x, self._top), (x, self._bottom), "grid")
            if with_x_ticks:
                _text(self._root, (x, self._bottom + 18), text, "secondary", anchor="middle")

    def _line(self, line: Line, number: int) -> None:
        for lower, upper in self._band_segments(line):
            points = _points((*lower, *reversed(upper)))
            _add(self._root, "polygon", f"band fill-{number}", points=points)
        for segment in self._segments(line.points):
            if len(segment) == 1:
                _dot(self._root, segment[0], number)
            else:
                _add(self._root, "polyline", f"line series-{number}", points=_points(segment))
        for (x, y), title in zip(line.points, line.titles, strict=False):
            dot = _dot(self._root, (self._x(x), self._y(y)), number)
            ElementTree.SubElement(dot, "title").text = title

    def _limit(self) -> None:
        limit = self._panel.limit
        if limit is None:
            return
        y = self._y(limit.value)
        _line(self._root, (LEFT, y), (self._right, y), "limit")
        if not self._panel.name:
            _text(self._root, (LEFT + 4, y - 4 if y - 12 > self._top else y + 13), limit.text, "limit-text")

    def _marks(self, *, with_text: bool) -> None:
        free_from = 0.0
        for value, text in self._chart.marks:
            x = self._x(value)
            _line(self._root, (x, self._top), (x, self._bottom), "mark")
            if with_text and x >= free_from:
                _text(self._root, (x, self._top - 6), text, "mark-text", anchor="middle")
                free_from = x + 60

    def _end_labels(self) -> None:
        """Write each label next to the end of its line, moved down where two would overlap."""
        ends = sorted(
            (self._y(line.points[-1][1]), number, line.label)
            for number, line in enumerate(self._panel.lines)
            if line.label and line.points
        )
        lowest = -math.inf
        for y, number, label in ends:
            lowest = max(y + 4, lowest + 14)
            _text(self._root, (self._right + 8, lowest), label, f"fill-{number}")

    def _segments(self, points: Sequence[Point]) -> list[list[Point]]:
        """Return the points in pixels, split where the gap is too long."""
        segments: list[list[Point]] = []
        before = -math.inf
        for x, y in points:
            if not segments or x - before > self._chart.longest_gap:
                segments.append([])
            segments[-1].append((self._x(x), self._y(y)))
            before = x
        return segments

    def _band_segments(self, line: Line) -> list[tuple[list[Point], list[Point]]]:
        both = {x for x, _ in line.lower} & {x for x, _ in line.upper}
        lower = self._segments([point for point in line.lower if point[0] in both])
        upper = self._segments([point for point in line.upper if point[0] in both])
        return [(_widened(one), _widened(other)) for one, other in zip(lower, upper, strict=True)]

    def _x(self, value: float) -> float:
        return LEFT + self._chart.x.share(value) * (self._right - LEFT)

    def _y(self, value: float) -> float:
        return self._bottom - self._panel.y.share(value) * self._panel.height


def _widened(points: list[Point]) -> list[Point]:
    """Make the band of a single point two pixels wide, or it would be invisible."""
    if len(points) != 1:
        return points
    ((x, y),) = points
    return [(x - 1, y), (x + 1, y)]


def _time_text(at: float, step: float) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment:%d %b}" if step >= DAY or at % DAY == 0 else f"{moment:%H:%M}"


def _add(root: ElementTree.Element, tag: str, css: str, **attributes: float | str) -> ElementTree.Element:
    texts = {
        name.replace("_", "-"): value if isinstance(value, str) else _coordinate(value)
        for name, value in attributes.items()
    }
    return ElementTree.SubElement(root, tag, {**({"class": css} if css else {}), **texts})


def _line(root: ElementTree.Element, start: Point, end: Point, css: str) -> None:
    _add(root, "line", css, x1=start[0], y1=start[1], x2=end[0], y2=end[1])


def _dot(root: ElementTree.Element, at: Point, number: int) -> ElementTree.Element:
    return _add(root, "circle", f"fill-{number}", cx=at[0], cy=at[1], r=2.5)


def _text(
    root: ElementTree.Element,
    at: Point,
    text: str,
    css: str = "",
    *,
    anchor: Literal["start", "middle", "end"] = "start",
) -> None:
    _add(root, "text", css, x=at[0], y=at[1], text_anchor=anchor).text = text


def _points(points: Iterable[Point]) -> str:
    return " ".join(f"{_coordinate(x)},{_coordinate(y)}" for x, y in points)


def _coordinate(value: float) -> str:
    """Return a coordinate to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")

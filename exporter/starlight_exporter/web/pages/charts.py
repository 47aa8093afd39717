"""Charts as geometry: scales, ticks and points in pixels, which one template draws as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 560
HEIGHT: Final = 260
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 12, 40


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis in pixels, and what stands beside it."""

    place: float
    text: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A point in pixels, and what it says when it is pointed at."""

    x: float
    y: float
    title: str


@dataclass(frozen=True, slots=True)
class Line:
    """A named line; `points` is the SVG attribute. `number` chooses colour and dashes."""

    name: str
    number: int
    points: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything that the template draws."""

    label: str
    x_title: str
    y_title: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


@dataclass(frozen=True, slots=True)
class Series:
    """A line in the units of the data; a value that is None is a gap's end, and left out."""

    name: str
    points: Sequence[tuple[float, float | None]]
    titles: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Axis:
    """A title, how values are written, and the ends that have to be shown."""

    title: str
    text: Callable[[float], str]
    low: float | None = None
    high: float | None = None


def line_chart(label: str, x: Axis, y: Axis, series: Sequence[Series], *, dots: bool = False) -> Chart | None:
    """Lines over one scale each way; None where there is no point at all."""
    xs = [point[0] for one in series for point in one.points if point[1] is not None]
    ys = [point[1] for one in series for point in one.points if point[1] is not None]
    if not xs:
        return None
    x_steps, y_steps = _steps(xs, x), _steps(ys, y)

    def place_x(value: float) -> float:
        return round(LEFT + (value - x_steps[0]) / (x_steps[-1] - x_steps[0]) * (WIDTH - LEFT - RIGHT), 1)

    def place_y(value: float) -> float:
        return round(HEIGHT - BOTTOM - (value - y_steps[0]) / (y_steps[-1] - y_steps[0]) * (HEIGHT - TOP - BOTTOM), 1)

    lines = []
    for number, one in enumerate(series):
        placed = [(place_x(px), place_y(py), index) for index, (px, py) in enumerate(one.points) if py is not None]
        lines.append(
            Line(
                name=one.name,
                number=number,
                points=" ".join(f"{px},{py}" for px, py, _ in placed),
                dots=tuple(Dot(px, py, one.titles[index]) for px, py, index in placed) if dots else (),
            )
        )
    return Chart(
        label=label,
        x_title=x.title,
        y_title=y.title,
        x_ticks=tuple(Tick(place_x(step), x.text(step)) for step in x_steps),
        y_ticks=tuple(Tick(place_y(step), y.text(step)) for step in y_steps),
        lines=tuple(lines),
    )


def sparkline(values: Sequence[float], *, width: int = 96, height: int = 24) -> str:
    """The `points` of a small line from left to right, from zero up; empty for fewer than two values."""
    if len(values) < 2:
        return ""
    top = max(values) or 1.0
    step = (width - 6) / (len(values) - 1)
    return " ".join(
        f"{round(3 + index * step, 1)},{round(height - 3 - value / top * (height - 6), 1)}"
        for index, value in enumerate(values)
    )


@dataclass(frozen=True, slots=True)
class Bar:
    """An interval on a common scale, in percent of its width; `limit` is where the limit stands, if on the scale."""

    lower: float
    value: float
    upper: float
    limit: float | None


def interval_bar(lower: float, value: float, upper: float, limit: float | None, scale: tuple[float, float]) -> Bar:
    """Places on the scale, cut at its ends."""
    low, high = scale

    def place(number: float) -> float:
        return round(min(1.0, max(0.0, (number - low) / ((high - low) or 1.0))) * 100, 2)

    shown = limit is not None and low <= limit <= high
    return Bar(place(lower), place(value), place(upper), place(limit) if shown and limit is not None else None)


def _steps(values: Sequence[float], axis: Axis) -> list[float]:
    """Round numbers that enclose the values and the axis's own ends, about five of them."""
    low = min(values) if axis.low is None else min(axis.low, *values)
    high = max(values) if axis.high is None else max(axis.high, *values)
    if low == high:
        low, high = low - (abs(low) or 1.0) * 0.5, high + (abs(high) or 1.0) * 0.5
        low = max(low, 0.0) if min(values) >= 0 else low
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]

"""Scatter plot of the images of an evaluation: one series per class, in colour and shape, with links to the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from starlight_exporter.web.pages.page import SitePath

WIDTH: Final = 560
HEIGHT: Final = 440
_MARGIN: Final = 12

MARKERS: Final[Mapping[str, str]] = {
    "alpha": "M0-4.4 4 2.9H-4z",
    "palette": "M-3-3H3V3H-3z",
    "lsb": "M0-4.4 4.4 0 0 4.4-4.4 0z",
    "exif": "M-1.2-4.2H1.2V-1.2H4.2V1.2H1.2V4.2H-1.2V1.2H-4.2V-1.2H-1.2z",
    "eoi": "M-3.9-2.2-2.2-3.9 0-1.7 2.2-3.9 3.9-2.2 1.7 0 3.9 2.2 2.2 3.9 0 1.7-2.2 3.9-3.9 2.2-1.7 0z",
    "clean": "M-3.2 0a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0-6.4 0z",
}
"""SVG path of the shape of each class around the origin, so that a class does not depend on colour only."""


@dataclass(frozen=True, slots=True)
class ScatterPoint:
    """An image at (x, y) in any unit, with its class, link and tooltip."""

    x: float
    y: float
    name: str
    link: SitePath
    title: str


@dataclass(frozen=True, slots=True)
class PlacedPoint:
    """A point in pixels from the top left corner of the plot, as text."""

    x: str
    y: str
    link: SitePath
    title: str


@dataclass(frozen=True, slots=True)
class ScatterSeries:
    """The points of one class, and the path of its shape."""

    name: str
    marker: str
    points: tuple[PlacedPoint, ...]


def scatter_series(points: Sequence[ScatterPoint]) -> tuple[ScatterSeries, ...]:
    """Return the points of each class that occurs, clean first, so that the rarer methods are in front.

    Both axes have the same scale, so that distances can be compared.
    """
    if not points:
        return ()
    left, right = min(one.x for one in points), max(one.x for one in points)
    bottom, top = min(one.y for one in points), max(one.y for one in points)
    units = max((right - left) / (WIDTH - 2 * _MARGIN), (top - bottom) / (HEIGHT - 2 * _MARGIN)) or 1.0
    centre = (left + (right - left) / 2, bottom + (top - bottom) / 2)
    placed: dict[str, list[PlacedPoint]] = {name: [] for name in ("clean", *MARKERS)}
    for one in points:
        x, y = WIDTH / 2 + (one.x - centre[0]) / units, HEIGHT / 2 - (one.y - centre[1]) / units
        placed[one.name].append(PlacedPoint(f"{x:.1f}", f"{y:.1f}", one.link, one.title))
    return tuple(ScatterSeries(name, MARKERS[name], tuple(found)) for name, found in placed.items() if found)

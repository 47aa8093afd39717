"""An SVG picture as text: escaped, deterministic, and readable in light and dark, with a background of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal
from xml.etree import ElementTree

Anchor = Literal["start", "middle", "end"]
Point = tuple[float, float]

NAMESPACE = "http://www.w3.org/2000/svg"

# Okabe and Ito's colour-blind safe palette (Color Universal Design, 2008); lighter tones of it on dark.
STYLE = """
:root { --back: #ffffff; --ink: #1f2328; --quiet: #59636e; --grid: #e3e7eb; --limit: #b3261e; --mark: #6639ba;
  --first: #0072b2; --second: #a15c00; --third: #007355; }
@media (prefers-color-scheme: dark) {
  :root { --back: #0d1117; --ink: #f0f6fc; --quiet: #9198a1; --grid: #272e37; --limit: #ff7b72; --mark: #c3a2ff;
    --first: #56b4e9; --second: #e69f00; --third: #2fc596; } }
text { font: 12px system-ui, -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif; fill: var(--ink); }
.title { font-size: 15px; font-weight: 600; }
.quiet { fill: var(--quiet); font-size: 11px; }
.back { fill: var(--back); }
.grid { stroke: var(--grid); stroke-width: 1; }
.limit { stroke: var(--limit); stroke-width: 1.5; stroke-dasharray: 6 4; }
.limit-text { fill: var(--limit); font-size: 11px; }
.mark { stroke: var(--mark); stroke-width: 1.5; stroke-dasharray: 2 3; }
.mark-text { fill: var(--mark); font-size: 11px; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.first { stroke: var(--first); } .second { stroke: var(--second); } .third { stroke: var(--third); }
.first-fill { fill: var(--first); } .second-fill { fill: var(--second); } .third-fill { fill: var(--third); }
.band { fill: var(--first); fill-opacity: 0.2; stroke: none; }
"""


class Drawing:
    """Elements in drawing order; coordinates are pixels from the top left corner, `css` a class of STYLE."""

    def __init__(self, width: int, height: int, *, title: str, description: str) -> None:
        self._root = ElementTree.Element(
            "svg",
            {
                "xmlns": NAMESPACE,
                "viewBox": f"0 0 {width} {height}",
                "width": str(width),
                "height": str(height),
                "role": "img",
                "aria-labelledby": "title description",
            },
        )
        ElementTree.SubElement(self._root, "title", {"id": "title"}).text = title
        ElementTree.SubElement(self._root, "desc", {"id": "description"}).text = description
        ElementTree.SubElement(self._root, "style").text = STYLE
        self._add("rect", css="back", width=width, height=height)

    def line(self, start: Point, end: Point, css: str) -> None:
        """A straight line."""
        self._add("line", css=css, x1=start[0], y1=start[1], x2=end[0], y2=end[1])

    def polyline(self, points: Iterable[Point], css: str) -> None:
        """A line through all points."""
        self._add("polyline", css=f"line {css}", points=_points(points))

    def polygon(self, points: Iterable[Point], css: str) -> None:
        """A filled area."""
        self._add("polygon", css=css, points=_points(points))

    def dot(self, at: Point, css: str) -> None:
        """A small filled circle."""
        self._add("circle", css=css, cx=at[0], cy=at[1], r=2.5)

    def text(self, at: Point, text: str, css: str = "", *, anchor: Anchor = "start") -> None:
        """One line of text, its baseline at `at`."""
        self._add("text", css=css, text=text, x=at[0], y=at[1], text_anchor=anchor)

    def to_text(self) -> str:
        """The whole file."""
        ElementTree.indent(self._root, " ")
        return ElementTree.tostring(self._root, encoding="unicode") + "\n"

    def _add(self, tag: str, *, css: str, text: str | None = None, **attributes: float | str) -> None:
        shown = {
            name.replace("_", "-"): value if isinstance(value, str) else number(value)
            for name, value in attributes.items()
        }
        element = ElementTree.SubElement(self._root, tag, {**({"class": css} if css else {}), **shown})
        element.text = text


def number(value: float) -> str:
    """A coordinate to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def _points(points: Iterable[Point]) -> str:
    return " ".join(f"{number(x)},{number(y)}" for x, y in points)

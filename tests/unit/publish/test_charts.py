"""Line charts: scales, positions, gaps, escaping and determinism."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starlight_exporter.publish.charts import (
    BOTTOM,
    LABEL_WIDTH,
    LEFT,
    MARGIN,
    NAMESPACE,
    TOP,
    Chart,
    Dot,
    Limit,
    Line,
    Panel,
    Point,
    inline_svg,
    linear_scale,
    log_scale,
    sparkline,
    svg_file,
    time_scale,
)

WIDTH, PANEL_HEIGHT = 560, 200
MARKUP = '</text><script>alert("1")</script> & "quoted" \'too\' <b>'
HOUR = 3600.0


def number(value: float) -> str:
    return f"{value:g}"


def chart_of(points: Sequence[Point], text: str = "a", longest_gap: float = float("inf")) -> Chart:
    return Chart(
        title=text,
        note=text,
        x=linear_scale((x for x, _ in points), number),
        panels=(
            Panel(
                y=linear_scale((y for _, y in points), number),
                lines=(Line(points, label=text, titles=[text] * len(points)),),
                name=text,
                limit=Limit(points[0][1], text),
                height=PANEL_HEIGHT,
            ),
        ),
        width=WIDTH,
        marks=[(points[0][0], text)],
        longest_gap=longest_gap,
    )


def lines(svg: str) -> list[list[Point]]:
    """The points of each polyline, in pixels."""
    found = ElementTree.fromstring(svg).iter(f"{{{NAMESPACE}}}polyline")
    places = [[place.split(",") for place in (one.get("points") or "").split()] for one in found]
    return [[(float(x), float(y)) for x, y in place] for place in places]


THOUSANDTHS = st.integers(0, 1_000_000).map(lambda value: value / 1000)


@given(st.lists(st.tuples(THOUSANDTHS, THOUSANDTHS), min_size=2, max_size=20))
def test_points_are_between_the_axes(points: list[Point]) -> None:
    chart = chart_of(points)
    for line in lines(inline_svg(chart)):
        for x, y in line:
            assert LEFT - 0.1 <= x <= WIDTH - LABEL_WIDTH + 0.1
            assert TOP - 0.1 <= y <= TOP + PANEL_HEIGHT + 0.1
    assert 2 <= len(chart.x.ticks) <= 12
    assert 2 <= len(chart.panels[0].y.ticks) <= 12


def test_height_is_the_sum_of_panels_and_margins() -> None:
    assert ElementTree.fromstring(svg_file(chart_of([(1, 1), (2, 2)]))).get("height") == str(TOP + 200 + BOTTOM)


def test_scale_includes_values_and_requested_ends() -> None:
    scale = linear_scale([3.0, 4.0], number, low=0.0)
    assert [text for _, text in scale.ticks] == ["0", "1", "2", "3", "4"]
    assert (scale.low, scale.high) == (0.0, 4.0)
    with pytest.raises(ValueError, match="empty"):
        linear_scale([], number)


def test_logarithmic_scale_has_ticks_at_powers_of_ten() -> None:
    scale = log_scale(0.0007, number)
    assert [text for _, text in scale.ticks] == ["0.0001", "0.001", "0.01", "0.1", "1"]
    assert [scale.share(value) for value in (0.0001, 0.01, 1.0)] == pytest.approx([0.0, 0.5, 1.0])
    assert scale.share(0.0) == 0.0
    for low in (0.0, 1.0, -0.1):
        with pytest.raises(ValueError, match="0 < low < high"):
            log_scale(low, number)


def test_dots_have_a_place_and_a_tooltip_without_a_line() -> None:
    dots = (Dot((0.01, 0.5), "a"), Dot((0.0, 1.0), "b"))
    panel = Panel(y=linear_scale((), number, low=0.0, high=1.0), lines=(), height=PANEL_HEIGHT, dots=dots)
    svg = inline_svg(Chart("a", "b", x=log_scale(0.0001, number), panels=(panel,), width=WIDTH))
    assert lines(svg) == []
    circles = list(ElementTree.fromstring(svg).iter(f"{{{NAMESPACE}}}circle"))
    middle = LEFT + (WIDTH - MARGIN - LEFT) / 2
    assert [(one.get("cx"), one.get("cy")) for one in circles] == [
        (f"{middle:g}", f"{TOP + PANEL_HEIGHT / 2:g}"),
        (f"{LEFT}", f"{TOP}"),
    ]
    assert [one[0].text for one in circles] == ["a", "b"]


@pytest.mark.parametrize(
    ("hours", "first", "step"), [(1, "00:10", 600.0), (24, "03:00", 3 * HOUR), (24 * 30, "08 Jan", 7 * 24 * HOUR)]
)
def test_time_ticks_are_full_hours_or_days(hours: int, first: str, step: float) -> None:
    start = 5 * 24 * HOUR
    scale = time_scale(start + 1.0, start + hours * HOUR + 1.0)
    (at, text), (after, _) = scale.ticks[:2]
    assert text == first
    assert after - at == step
    assert at % step == 0
    assert 2 <= len(scale.ticks) <= 9


def test_line_is_interrupted_at_a_gap() -> None:
    points = [(0.0, 1.0), (1.0, 2.0), (5.0, 2.0), (6.0, 1.0)]
    assert [len(line) for line in lines(inline_svg(chart_of(points)))] == [4]
    assert [len(line) for line in lines(inline_svg(chart_of(points, longest_gap=2.0)))] == [2, 2]


def test_markup_in_texts_is_escaped() -> None:
    for svg in (inline_svg(chart_of([(1, 1), (2, 2)], MARKUP)), svg_file(chart_of([(1, 1), (2, 2)], MARKUP))):
        assert "<script" not in svg
        root = ElementTree.fromstring(svg)
        assert root.get("aria-label") == MARKUP
        for tag, count in (("desc", 1), ("title", 2)):
            found = list(root.iter(f"{{{NAMESPACE}}}{tag}"))
            assert [(one.text, len(one)) for one in found] == [(MARKUP, 0)] * count
        # Title, note, name of the panel with its limit, mark and label of the line.
        texts = [one.text for one in root.iter(f"{{{NAMESPACE}}}text")]
        assert [text for text in texts if text is not None and MARKUP in text] == [
            MARKUP,
            MARKUP,
            f"{MARKUP}, {MARKUP}",
            MARKUP,
            MARKUP,
        ]


def test_equal_charts_give_equal_text() -> None:
    points = [(1.04, 2.0), (3.0, 4.55)]
    assert svg_file(chart_of(points)) == svg_file(chart_of(points))
    coordinates = [value for line in lines(svg_file(chart_of(points))) for point in line for value in point]
    assert coordinates == [round(value, 1) for value in coordinates]


def test_file_contains_its_style_and_a_page_does_not() -> None:
    chart = chart_of([(1, 1), (2, 2)])
    assert "<style>" in svg_file(chart)
    assert "prefers-color-scheme: dark" in svg_file(chart)
    assert "style" not in inline_svg(chart)


def test_sparkline_is_on_the_given_scale() -> None:
    assert sparkline([0.1], low=0.0, high=1.0) == ""
    assert sparkline([0.0, 0.0], low=0.0, high=1.0) == "3.0,21.0 93.0,21.0"
    assert sparkline([0.0, 0.5, 1.0], low=0.0, high=1.0) == "3.0,21.0 48.0,12.0 93.0,3.0"
    assert sparkline([0.9, 1.0], low=0.8, high=1.0) == "3.0,12.0 93.0,3.0"

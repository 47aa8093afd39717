"""Numbers as pages write them, and charts as geometry."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starlight_exporter.web.pages import figures
from starlight_exporter.web.pages.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Series,
    line_chart,
    sparkline,
)
from starlight_exporter.web.pages.image import dump, readable


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(None, "not measured"), (0, "0 %"), (1, "100 %"), (0.00075, "0.075 %"), (0.5, "50.00 %"), (0.99963, "99.963 %")],
)
def test_percent(ratio: float | None, text: str) -> None:
    assert figures.percent(ratio) == text


@pytest.mark.parametrize(
    ("p_value", "text"), [(None, "–"), (0.00001, "< 0.0001"), (0.0123, "0.012"), (1.0, "1"), (0.5, "0.5")]
)
def test_chance(p_value: float | None, text: str) -> None:
    assert figures.chance(p_value) == text


def test_the_speed_of_a_run_without_a_measured_image() -> None:
    assert [figures.speed(speed) for speed in (0.0, 423.5)] == ["not measured", "424 images/s"]


def test_sizes_and_ages() -> None:
    assert [figures.size(count) for count in (None, 12, 2048, 5 * 1024**2)] == [
        "unknown",
        "12 bytes",
        "2.0 KiB",
        "5.0 MiB",
    ]
    assert [figures.age(seconds) for seconds in (-1, 59, 120, 7200, 200_000)] == ["0 s", "59 s", "2 min", "2 h", "2 d"]


THOUSANDTHS = st.integers(0, 1_000_000).map(lambda number: number / 1000)


@given(st.lists(st.tuples(THOUSANDTHS, THOUSANDTHS), min_size=1, max_size=20))
def test_every_point_lies_between_the_axes(points: list[tuple[float, float]]) -> None:
    axis = Axis("", lambda value: f"{value:g}")
    chart = line_chart("chart", axis, axis, [Series("one", points)])
    assert chart is not None
    for place in chart.lines[0].points.split():
        x, y = map(float, place.split(","))
        assert LEFT - 0.1 <= x <= WIDTH - RIGHT + 0.1
        assert TOP - 0.1 <= y <= HEIGHT - BOTTOM + 0.1
    assert 2 <= len(chart.x_ticks) <= 12
    assert 2 <= len(chart.y_ticks) <= 12


def test_a_chart_of_nothing_is_none_and_gaps_are_left_out() -> None:
    axis = Axis("", lambda value: f"{value:g}", low=0.0)
    assert line_chart("chart", axis, axis, [Series("one", [(1, None)])]) is None
    chart = line_chart("chart", axis, axis, [Series("one", [(1, None), (2, 3.0), (3, 4.0)])])
    assert chart is not None
    assert len(chart.lines[0].points.split()) == 2
    assert [tick.text for tick in chart.y_ticks] == ["0", "1", "2", "3", "4"]


def test_sparklines_start_at_zero() -> None:
    assert sparkline([0.1]) == ""
    assert sparkline([0.0, 0.0]) == "3.0,21.0 93.0,21.0"
    assert sparkline([0.0, 0.5, 1.0]) == "3.0,21.0 48.0,12.0 93.0,3.0"


def test_bytes_as_text() -> None:
    rows = dump(b"<b>\0\xff" + b"x" * 16 + b"\0" * 100)
    assert rows[0] == ("0000", "3c 62 3e 00 ff 78 78 78 78 78 78 78 78 78 78 78", "<b>··xxxxxxxxxxx")
    assert rows[1][2] == "xxxxx"
    assert dump(b"\0" * 2048) == []
    assert math.isclose(len(dump(b"y" * 2048)), 128)
    assert readable(b"abc\0<script>\x01\xffEXIF text\0") == ["<script>", "EXIF text"]

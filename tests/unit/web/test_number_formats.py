"""Numbers and bytes as the pages show them."""

from __future__ import annotations

import math

import pytest

from starlight_exporter.web.pages import figures
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


def test_bytes_as_text() -> None:
    rows = dump(b"<b>\0\xff" + b"x" * 16 + b"\0" * 100)
    assert rows[0] == ("0000", "3c 62 3e 00 ff 78 78 78 78 78 78 78 78 78 78 78", "<b>··xxxxxxxxxxx")
    assert rows[1][2] == "xxxxx"
    assert dump(b"\0" * 2048) == []
    assert math.isclose(len(dump(b"y" * 2048)), 128)
    assert readable(b"abc\0<script>\x01\xffEXIF text\0") == ["<script>", "EXIF text"]

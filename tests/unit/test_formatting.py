"""Numbers and times as people read them."""

from __future__ import annotations

import pytest

from starlight_exporter import formatting
from starlight_exporter.statistics.intervals import proportion


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (None, "not measured"),
        (0, "0.00%"),
        (0.0000001, "<0.001%"),
        (0.00012, "0.012%"),
        (0.0005, "0.05%"),
        (0.00075, "0.075%"),
        (0.00369, "0.37%"),
        (0.5, "50.00%"),
        (0.99, "99.00%"),
        (0.99963, "99.963%"),
        (0.9999999, ">99.999%"),
        (1, "100.00%"),
    ],
)
def test_percent(ratio: float | None, text: str) -> None:
    assert formatting.percent(ratio) == text


def test_rate_has_interval_and_counts() -> None:
    assert formatting.rate(proportion(0, 1000)) == "0.00% (95% CI 0.00–0.37%; 0 of 1,000)"
    assert formatting.rate(proportion(0, 0)) == "not measured"
    assert formatting.rate(None) == "not measured"
    assert formatting.percent_range(None, None) == "–"
    assert formatting.percent_range(0.0, 0.00037) == "0.000–0.037%"
    assert formatting.percent_range(0.00031, 0.0044) == "0.03–0.44%"
    assert formatting.percent_range(0.9995, 1.0) == "99.950–100.000%"


def test_percentage_points() -> None:
    assert formatting.percentage_points(0.0002) == "+0.02 pp"
    assert formatting.percentage_points(0.00004) == "+0.004 pp"
    assert formatting.percentage_points(-0.025) == "-2.50 pp"
    assert formatting.percentage_points(-0.0) == "+0.00 pp"
    assert formatting.percentage_points_interval(0.1, -0.02, 0.3) == "+10.00 pp (95% CI -2.00 to +30.00)"


def test_milliseconds() -> None:
    assert formatting.milliseconds(None) == "not measured"
    assert formatting.milliseconds(0.00421) == "4.21 ms"
    assert formatting.milliseconds(1.5) == "1,500.00 ms"
    assert formatting.milliseconds_difference(-0.001) == "-1.00 ms"
    assert formatting.milliseconds_range(0.0041, 0.00435) == "4.10–4.35 ms"
    assert formatting.milliseconds_range(0.0041, None) == "≥ 4.10 ms"
    assert formatting.milliseconds_range(None, 0.0041) == "≤ 4.10 ms"
    assert formatting.milliseconds_range(None, None) == "–"


@pytest.mark.parametrize(
    ("p_value", "text"), [(None, "–"), (0.0009, "<0.001"), (0.001, "0.001"), (0.0123, "0.012"), (1.0, "1.000")]
)
def test_p_value(p_value: float | None, text: str) -> None:
    assert formatting.p_value(p_value) == text


def test_throughput_of_a_run_without_measured_image() -> None:
    assert [formatting.images_per_second(speed) for speed in (0.0, None, 1423.5)] == [
        "not measured",
        "not measured",
        "1,423.5 images/s",
    ]


def test_numbers_without_unit() -> None:
    assert formatting.decimal(None) == "not measured"
    assert formatting.decimal(0.12345) == "0.1235"
    assert formatting.signed(-0.000001) == "+0.0000"
    assert formatting.signed_interval(0.1, None, None) == "+0.1000"
    assert formatting.signed_interval(0.1, -0.1, 0.3) == "+0.1000 (95% CI -0.1000 to +0.3000)"
    assert formatting.integer(12345) == "12,345"


def test_ticks_of_an_axis() -> None:
    assert [formatting.axis_percent(ratio) for ratio in (0.0, 0.0005, 0.25, 1.0)] == ["0%", "0.05%", "25%", "100%"]
    assert [formatting.axis_milliseconds(seconds) for seconds in (0.0, 0.0025)] == ["0 ms", "2.5 ms"]


def test_sizes_and_ages() -> None:
    assert [formatting.size(count) for count in (None, 12, 2048, 5 * 1024**2, 3 * 1024**3)] == [
        "unknown",
        "12 bytes",
        "2.0 KiB",
        "5.0 MiB",
        "3.0 GiB",
    ]
    assert [formatting.age(seconds) for seconds in (-1, 59, 120, 7200, 200_000)] == [
        "0 s",
        "59 s",
        "2 min",
        "2 h",
        "2 d",
    ]


def test_times_are_utc() -> None:
    assert formatting.utc(1_767_225_600.0) == "2026-01-01 00:00:00 UTC"
    assert formatting.iso(1_767_225_600.0) == "2026-01-01T00:00:00Z"


def test_words() -> None:
    assert formatting.words("fpr_vs_baseline") == "FPR vs baseline"


@pytest.mark.parametrize("seconds", [3e11, -1e14, 1e300, float("inf")])
def test_time_outside_of_the_calendar_is_formatted(seconds: float) -> None:
    assert formatting.utc(seconds) == formatting.iso(seconds) == formatting.OUT_OF_RANGE


def test_time_before_1970_is_formatted() -> None:
    assert formatting.utc(-1) == "1969-12-31 23:59:59 UTC"


@pytest.mark.parametrize(
    ("lower", "upper", "text"),
    [
        (None, None, "not measured"),
        (0.01234, None, "from 0.0123"),
        (None, 0.5, "up to 0.5"),
        (0.00002, 0.03, "0.00002–0.03"),
        (999.4, 123_456.7, "999–123,457"),
    ],
)
def test_embedding_rate_range(lower: float | None, upper: float | None, text: str) -> None:
    assert formatting.embedding_rate_range(lower, upper) == text


def test_embedding_rate_that_is_not_measured() -> None:
    assert formatting.embedding_rate(None) == "not measured"

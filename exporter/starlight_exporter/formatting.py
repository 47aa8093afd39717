"""Format numbers and times for people: terminal reports, pages, documents and the markdown dashboard.

Files for programs (JSON, CSV, metrics) hold full precision and do not use this module.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, Protocol

NOT_MEASURED: Final = "not measured"
NOT_APPLICABLE: Final = "–"
OUT_OF_RANGE: Final = "outside of the years 1 to 9999"


class Rate(Protocol):
    """A proportion with its exact 95% interval; the ratio and both bounds are None without a measured image."""

    @property
    def count(self) -> int: ...

    @property
    def total(self) -> int: ...

    @property
    def ratio(self) -> float | None: ...

    @property
    def lower(self) -> float | None: ...

    @property
    def upper(self) -> float | None: ...

    @property
    def covers(self) -> int | None: ...


def percent(ratio: float | None) -> str:
    """Format a ratio: `1.25%`, or `0.047%` within 0.1 percentage points of 0% and 100%.

    A ratio that would round to 0% or 100% is written `<0.001%` or `>99.999%`.
    """
    return NOT_MEASURED if ratio is None else f"{_percent_digits(ratio)}%"


def percent_range(lower: float | None, upper: float | None) -> str:
    """Format an interval of ratios: `0.00–0.37%`, or `0.000–0.037%` within 0.1 percentage points of 0% or 100%."""
    if lower is None or upper is None:
        return NOT_APPLICABLE
    digits = 3 if upper < 0.001 or lower > 0.999 else 2
    return f"{lower * 100:.{digits}f}–{upper * 100:.{digits}f}%"


def rate(value: Rate | None) -> str:
    """Format a proportion with interval and counts: `0.00% (95% CI 0.00–0.37%; 0 of 1,000)`."""
    if value is None or value.ratio is None:
        return NOT_MEASURED
    return f"{percent(value.ratio)} (95% CI {percent_range(value.lower, value.upper)}; {fraction(value)})"


def fraction(value: Rate) -> str:
    """Format the counts of a proportion: `3 of 1,000`, or `3 of 1,000 from 250 covers` if images share covers."""
    counts = f"{integer(value.count)} of {integer(value.total)}"
    return counts if value.covers is None else f"{counts} from {integer(value.covers)} covers"


def percentage_points(difference: float) -> str:
    """Format a difference of two ratios: `+0.02 pp`."""
    return f"{_points_digits(difference)} pp"


def percentage_points_interval(difference: float, lower: float, upper: float) -> str:
    """Format a difference of two ratios with its interval: `+0.02 pp (95% CI -0.01 to +0.05)`."""
    return f"{percentage_points(difference)} (95% CI {_points_digits(lower)} to {_points_digits(upper)})"


def milliseconds(seconds: float | None) -> str:
    """Format seconds as milliseconds: `4.21 ms`."""
    return NOT_MEASURED if seconds is None else f"{seconds * 1e3:,.2f} ms"


def milliseconds_difference(seconds: float) -> str:
    """Format a difference of two times: `+1.42 ms`."""
    return f"{seconds * 1e3:+z,.2f} ms"


def milliseconds_range(lower: float | None, upper: float | None) -> str:
    """Format an interval: `4.10–4.35 ms`, or one bound where the sample is too small for the other."""
    if lower is None and upper is None:
        return NOT_APPLICABLE
    if upper is None:
        return f"≥ {milliseconds(lower)}"
    if lower is None:
        return f"≤ {milliseconds(upper)}"
    return f"{lower * 1e3:,.2f}–{milliseconds(upper)}"


def images_per_second(speed: float | None) -> str:
    """Format a throughput; 0 and None mean that no image was measured."""
    return f"{speed:,.1f} images/s" if speed else NOT_MEASURED


def decimal(value: float | None, digits: int = 4) -> str:
    """Format a number without a unit, such as a log loss or a probability."""
    return NOT_MEASURED if value is None else f"{value:.{digits}f}"


def signed(value: float, digits: int = 4) -> str:
    """Format a difference of two numbers without a unit."""
    return f"{value:+z.{digits}f}"


def axis_percent(ratio: float) -> str:
    """Format a tick of an axis: as few digits as possible, at most three significant ones."""
    return f"{float(f'{ratio * 100:.3g}'):g}%"


def axis_milliseconds(seconds: float) -> str:
    """Format a tick of an axis: as few digits as possible, at most three significant ones."""
    return f"{float(f'{seconds * 1e3:.3g}'):g} ms"


def signed_interval(value: float, lower: float | None, upper: float | None) -> str:
    """Format a difference without a unit and its interval: `+0.1200 (95% CI -0.0100 to +0.2500)`."""
    if lower is None or upper is None:
        return signed(value)
    return f"{signed(value)} (95% CI {signed(lower)} to {signed(upper)})"


def p_value(value: float | None) -> str:
    """Format a p-value to three decimals, `<0.001` below that; `–` without a test."""
    if value is None:
        return NOT_APPLICABLE
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def p_value_equation(value: float) -> str:
    """Format a p-value for a sentence: `p = 0.012`, or `p < 0.001`."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def integer(number: int) -> str:
    """Format a count with thousands separators."""
    return f"{number:,}"


def size(number: int | None) -> str:
    """Format a number of bytes in the largest binary unit that fits."""
    if number is None:
        return "unknown"
    for unit, factor in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if number >= factor:
            return f"{number / factor:,.1f} {unit}"
    return f"{number} bytes"


def age(seconds: float) -> str:
    """Format an elapsed time in the largest unit that fits."""
    for unit, factor in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= factor:
            return f"{seconds / factor:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def utc(seconds: float) -> str:
    """Format UTC seconds: `2026-01-31 09:30:00 UTC`."""
    moment = _moment(seconds)
    return OUT_OF_RANGE if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def iso(seconds: float) -> str:
    """Format UTC seconds in ISO 8601: `2026-01-31T09:30:00Z`."""
    moment = _moment(seconds)
    return OUT_OF_RANGE if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def embedding_rate(value: float | None) -> str:
    """Return an embedding rate with three significant digits."""
    if value is None:
        return NOT_MEASURED
    # Without an exponent, which `g` uses below 0.0001.
    return f"{value:,.0f}" if value >= 1000 else f"{Decimal(f'{value:.3g}'):f}"


def embedding_rate_range(lower: float | None, upper: float | None) -> str:
    """Return the bounds of an embedding rate; one that the measured rates do not bound is left out."""
    if lower is None and upper is None:
        return NOT_MEASURED
    if lower is None:
        return f"up to {embedding_rate(upper)}"
    return f"from {embedding_rate(lower)}" if upper is None else f"{embedding_rate(lower)}–{embedding_rate(upper)}"


def words(name: str) -> str:
    """Format an identifier (check, reason, outcome) as text."""
    return name.replace("_", " ").replace("fpr", "FPR")


def _moment(seconds: float) -> datetime | None:
    """Return UTC seconds as a date; None outside of the calendar, as a file's modification time may be."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _percent_digits(ratio: float) -> str:
    value = ratio * 100
    if 0 < value < 0.0005:
        return "<0.001"
    if 99.9995 < value < 100:
        return ">99.999"
    return _third_decimal(f"{value:.3f}") if value < 0.1 or value > 99.9 else f"{value:.2f}"


def _points_digits(difference: float) -> str:
    value = difference * 100
    return _third_decimal(f"{value:+z.3f}") if abs(value) < 0.1 else f"{value:+z.2f}"


def _third_decimal(text: str) -> str:
    """Drop the third decimal if it is zero, so that a limit of 0.05% is not written as 0.050%."""
    return text.removesuffix("0")

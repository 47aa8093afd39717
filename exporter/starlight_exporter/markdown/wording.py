"""How numbers and times are written; what was not measured says so."""

from __future__ import annotations

from datetime import UTC, datetime

from starlight_exporter.markdown.dashboard import Unit

NOT_MEASURED = "Not measured"


def shown(value: float | None, unit: Unit) -> str:
    """A value with its unit."""
    if value is None:
        return NOT_MEASURED
    match unit:
        case "ratio":
            return f"{value * 100:.3f} %"
        case "seconds":
            return f"{value * 1e3:.3f} ms"
        case "images per second":
            return f"{value:.1f} images/s"


def interval(lower: float | None, upper: float | None, unit: Unit) -> str:
    """Both ends of an interval; one of them where the sample is too small for the other; empty without any."""
    if lower is None and upper is None:
        return ""
    if upper is None:
        return f"from {shown(lower, unit)}"
    if lower is None:
        return f"up to {shown(upper, unit)}"
    return f"{shown(lower, unit).split(' ')[0]} to {shown(upper, unit)}"


def utc(seconds: float) -> str:
    """A time to the second."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def cell(text: str) -> str:
    """Text that breaks neither a table nor the document: no line ends, markup characters escaped."""
    joined = " ".join(text.split())
    return "".join(f"\\{char}" if char in "\\`*_[]<>|~#" else char for char in joined)


def code(text: str) -> str:
    """Text as code; what would end it is replaced."""
    return f"`{' '.join(text.split()).replace('`', chr(0x2019)).replace('|', chr(0xA6))}`"

"""Format metric values with their unit, and escape text for markdown."""

from __future__ import annotations

from starlight_exporter.formatting import (
    NOT_APPLICABLE,
    images_per_second,
    milliseconds,
    milliseconds_range,
    percent,
    percent_range,
)
from starlight_exporter.markdown.dashboard import Unit


def shown(value: float | None, unit: Unit) -> str:
    """Format a value with its unit."""
    match unit:
        case "ratio":
            return percent(value)
        case "seconds":
            return milliseconds(value)
        case "images per second":
            return images_per_second(value)


def interval(lower: float | None, upper: float | None, unit: Unit) -> str:
    """Format a 95% interval; only latencies have intervals with one bound, and throughput has none."""
    match unit:
        case "ratio":
            return percent_range(lower, upper)
        case "seconds":
            return milliseconds_range(lower, upper)
        case "images per second":
            return NOT_APPLICABLE


def cell(text: str) -> str:
    """Join the lines of a text and escape markup, so that it breaks neither a table nor the document."""
    joined = " ".join(text.split())
    return "".join(f"\\{char}" if char in "\\`*_[]<>|~#" else char for char in joined)


def code(text: str) -> str:
    """Format text as inline code; characters that would end it are replaced."""
    return f"`{' '.join(text.split()).replace('`', chr(0x2019)).replace('|', chr(0xA6))}`"

"""Numbers and times as pages write them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from starlight_exporter.publish.report import utc

NOT_MEASURED: Final = "not measured"


def percent(ratio: float | None) -> str:
    """A ratio in percent, with one more decimal where two would show nothing but zeros."""
    if ratio is None:
        return NOT_MEASURED
    if ratio in (0, 1):
        return f"{ratio * 100:.0f} %"
    return f"{ratio * 100:.3f} %" if ratio < 0.01 or ratio > 0.9995 else f"{ratio * 100:.2f} %"


def whole(count: int) -> str:
    """A count with thousands apart."""
    return f"{count:,}"


def milliseconds(seconds: float | None) -> str:
    """Seconds in milliseconds."""
    return NOT_MEASURED if seconds is None else f"{seconds * 1000:.2f} ms"


def speed(images_per_second: float) -> str:
    """Of a bulk pass; 0 where it measured no image."""
    return f"{images_per_second:.0f} images/s" if images_per_second else NOT_MEASURED


def figure(value: float | None) -> str:
    """A plain number, four decimals."""
    return NOT_MEASURED if value is None else f"{value:.4f}"


def chance(p_value: float | None) -> str:
    """A p-value, as short as it stays telling."""
    if p_value is None:
        return "–"
    return "< 0.0001" if p_value < 0.0001 else f"{p_value:.2g}"


def iso(seconds: float) -> str:
    """UTC seconds as the `datetime` attribute wants them."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def age(seconds: float) -> str:
    """How long ago, in the largest unit that fits."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def words(name: str) -> str:
    """The name of a check, a reason or an outcome as prose."""
    return name.replace("_", " ").replace("fpr", "FPR")


def size(count: int | None) -> str:
    """Bytes, in the largest unit that fits."""
    if count is None:
        return "unknown"
    for unit, factor in (("MiB", 1024**2), ("KiB", 1024)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "percent": percent,
    "whole": whole,
    "ms": milliseconds,
    "figure": figure,
    "chance": chance,
    "utc": utc,
    "iso": iso,
    "size": size,
    "number": lambda value: f"{value:g}",
    "words": words,
}

"""Durations in Prometheus's form: `30s`, `15m`, `1h30m`. Imports only the standard library."""

from __future__ import annotations

import re
from typing import Final

_PATTERN: Final = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?(?:(\d{1,9})ms)?", re.ASCII)
_UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))
"""Units in milliseconds."""


def parse_duration(text: str) -> float:
    """Return seconds. Raises ValueError for any other form."""
    match = _PATTERN.fullmatch(text)
    if match is None or not text:
        raise ValueError("expected a duration such as 30s, 15m or 1h30m")
    return sum(int(digits or 0) * size for digits, (_, size) in zip(match.groups(), _UNITS, strict=True)) / 1000


def format_duration(seconds: float) -> str:
    """Return seconds in the same form, for example `1h30m`; `0s` for zero."""
    left = round(seconds * 1000)
    text = ""
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"

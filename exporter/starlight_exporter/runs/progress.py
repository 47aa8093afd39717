"""Progress of a run: the completed share that its worker reports, and the time left."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path


def read_progress(file: Path) -> float | None:
    """Return the completed share of a run as last written by its worker, 0 to 1; None if there is none."""
    with suppress(OSError, ValueError, TypeError, KeyError, ZeroDivisionError):
        state = json.loads(file.read_text())
        return min(1.0, float(state["done"]) / float(state["total"]))
    return None


class TimeLeft:
    """Estimate the time left from the pace since the first image, without loading and scanning before it."""

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None

    def estimate(self, ratio: float, now: float) -> float | None:
        """Return the seconds left when `ratio` is completed at the monotonic time `now`; None before any progress."""
        if ratio <= 0:
            return None
        if self._first is None:
            self._first = (ratio, now)
        first, since = self._first
        if ratio <= first or now <= since:
            return None
        return (now - since) * (1 - ratio) / (ratio - first)

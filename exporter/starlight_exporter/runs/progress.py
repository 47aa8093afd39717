"""Progress of a run: the completed share and the listed images that its worker reports, and the time left."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunProgress:
    """Completed share of a run, 0 to 1, and the digest of the listing that it evaluates (None if unknown)."""

    ratio: float
    listing: str | None


def read_progress(file: Path) -> RunProgress | None:
    """Return the progress of a run as last written by its worker; None if there is none."""
    with suppress(OSError, ValueError, TypeError, KeyError, ZeroDivisionError):
        state = json.loads(file.read_text(encoding="utf-8"))
        ratio = min(1.0, float(state["done"]) / float(state["total"]))
        listing = state.get("listing")
        return RunProgress(ratio, listing if isinstance(listing, str) else None)
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

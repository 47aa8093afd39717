"""How long a run is likely to take from here."""

from __future__ import annotations


class Pace:
    """The pace of one run, from the first image on: loading and scanning before it say nothing about what follows."""

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None

    def remaining(self, ratio: float, now: float) -> float | None:
        """Seconds until `ratio`, the share that is done at the monotonic time `now`, is 1; None before it has moved."""
        if ratio <= 0:
            return None
        if self._first is None:
            self._first = (ratio, now)
        first, since = self._first
        if ratio <= first or now <= since:
            return None
        return (now - since) * (1 - ratio) / (ratio - first)

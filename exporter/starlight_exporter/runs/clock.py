"""Steps of the system clock: reported once each, because results before and after them are not in order."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from starlight_exporter.runs.state import State

_log = structlog.get_logger(__name__)

CHECK_SECONDS: Final = 5.0
STEP_SECONDS: Final = 5.0
"""Smaller differences are corrections by the time service."""


class ClockMonitor:
    """Compares the system clock with the monotonic clock, which nothing but a suspended machine stops."""

    def __init__(
        self,
        state: State,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._wall = wall
        self._monotonic = monotonic
        self._offset = wall() - monotonic()

    def check(self) -> None:
        """Log and count a step of more than STEP_SECONDS since the last check."""
        offset = self._wall() - self._monotonic()
        # Slow corrections do not add up.
        step, self._offset = offset - self._offset, offset
        if abs(step) > STEP_SECONDS:
            _log.warning("system clock stepped", seconds=round(step, 1))
            self._state.update(lambda s: replace(s, clock_steps=s.clock_steps + 1))

"""The clock that counts the seconds since the start of the machine: a lower bound of ages, whatever the dates are."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_OFFSETS: Final = Path("/proc/self/timens_offsets")


@dataclass(frozen=True, slots=True)
class BootClock:
    """A reading: seconds since the machine was started, suspended or not, and the ID of that start.

    The clock cannot be set. Processes and containers of one machine have the same clock, except in time namespaces.
    """

    boot_id: str
    seconds: float


def read_boot_clock() -> BootClock | None:
    """Return a reading; None on platforms without a boot ID, and in time namespaces that shift the clock."""
    try:
        if _is_shifted():
            return None
        boot_id = _BOOT_ID.read_text(encoding="ascii").strip()
        return BootClock(boot_id, round(time.clock_gettime(time.CLOCK_BOOTTIME), 3))
    except (OSError, ValueError):
        return None


def _is_shifted() -> bool:
    """Return whether the clock of this process may differ from that of the machine. Raises OSError."""
    try:
        offsets = _OFFSETS.read_text(encoding="ascii")
    except FileNotFoundError:
        # The kernel has no time namespaces.
        return False
    return ["boottime", "0", "0"] not in [line.split() for line in offsets.splitlines()]


def parse_boot_clock(content: object) -> BootClock | None:
    """Return a stored reading; None for anything else."""
    match content:
        case {"boot_id": str(boot_id), "seconds": int() | float() as seconds} if math.isfinite(seconds):
            return BootClock(boot_id, seconds)
    return None


def confirmed_ages(readings: Iterable[BootClock | None]) -> list[float]:
    """Return the seconds that passed at least between each reading and the last one. `readings` are in order of time.

    Only the time between successive readings of one boot is known. Between others, and where a virtual machine was
    set back, at least none has passed.
    """
    ages: list[float] = []
    age, later = 0.0, None
    for reading in reversed(list(readings)):
        if reading is not None:
            if later is not None and later.boot_id == reading.boot_id:
                age += max(0.0, later.seconds - reading.seconds)
            later = reading
        ages.append(age)
    return ages[::-1]

"""Measured values on disk, and what is said of them: median and range."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).resolve().parent / "results.json"


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and range of several runs."""

    median: float
    low: float
    high: float
    runs: int


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(statistics.median(values), min(values), max(values), len(values))


def text(values: Sequence[float], form: str = ".0f") -> str:
    """`median (low–high)`."""
    found = spread(values)
    if found.runs == 1:
        return f"{found.median:{form}}"
    return f"{found.median:{form}} ({found.low:{form}}–{found.high:{form}})"


def load() -> dict[str, Any]:
    """Everything that was measured so far."""
    return dict(json.loads(FILE.read_text())) if FILE.exists() else {}


def record(section: str, values: Mapping[str, Any]) -> None:
    """Replace one section, and note the machine and its load."""
    content = load()
    content[section] = {**values, "machine": machine()}
    FILE.write_text(json.dumps(content, indent=1) + "\n")


def machine() -> dict[str, Any]:
    """Where this is measured."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }


@dataclass(frozen=True, slots=True)
class Cost:
    """What some images took: seconds on the clock, and seconds of all cores together."""

    images: int
    wall: float
    cpu: float


def cost(images: int, work: Callable[[], object]) -> Cost:
    """Run something that handles so many images."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Cost(images, time.perf_counter() - wall, time.process_time() - cpu)


def interleaved(ways: Mapping[str, Callable[[], Cost]], runs: int) -> dict[str, dict[str, list[float]]]:
    """Every way once per round, so that whatever else the machine does meets all of them alike.

    Way → `rate` (images per second) and `cpu` (milliseconds of one core per image), one value per round.
    """
    found: dict[str, dict[str, list[float]]] = {name: {"rate": [], "cpu": []} for name in ways}
    for number in range(runs):
        for name, way in ways.items():
            taken = way()
            found[name]["rate"].append(taken.images / taken.wall)
            found[name]["cpu"].append(1000 * taken.cpu / taken.images)
            print(f"{number + 1}/{runs} {name}: {taken.images / taken.wall:.0f}/s", flush=True)
    return found

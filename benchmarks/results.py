"""Stored results, their median and range."""

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

from starlight_exporter.files import write_text

FILE: Final = Path(__file__).resolve().parent / "results.json"
OPERATING_FILE: Final = FILE.with_name("operating_characteristics.json")


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and range of several runs."""

    median: float
    low: float
    high: float
    runs: int


def spread(values: Sequence[float]) -> Spread:
    """Return median and range of at least one value."""
    return Spread(statistics.median(values), min(values), max(values), len(values))


def text(values: Sequence[float], form: str = ".0f") -> str:
    """Return `median (low–high)`."""
    found = spread(values)
    if found.runs == 1:
        return f"{found.median:{form}}"
    return f"{found.median:{form}} ({found.low:{form}}–{found.high:{form}})"


def load(file: Path = FILE) -> dict[str, Any]:
    """Return all stored results."""
    return dict(json.loads(file.read_text())) if file.exists() else {}


def record(section: str, values: Mapping[str, Any], file: Path = FILE) -> None:
    """Replace one section, with the machine and its load."""
    content = load(file)
    content[section] = {**values, "machine": machine()}
    write_text(file, json.dumps(content, indent=1) + "\n")


def machine() -> dict[str, Any]:
    """Return processor, cores, Python version and load average."""
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
    """Duration for a number of images: wall-clock seconds, and CPU seconds of all cores."""

    images: int
    wall: float
    cpu: float


def cost(images: int, work: Callable[[], object]) -> Cost:
    """Run work on this number of images and return its cost."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Cost(images, time.perf_counter() - wall, time.process_time() - cpu)


def interleaved(modes: Mapping[str, Callable[[], Cost]], runs: int) -> dict[str, dict[str, list[float]]]:
    """Run every mode once per round, so that other load affects all modes equally.

    Return `rate` (images per second) and `cpu` (CPU milliseconds per image) by mode, with one value per round.
    """
    found: dict[str, dict[str, list[float]]] = {name: {"rate": [], "cpu": []} for name in modes}
    for number in range(runs):
        for name, mode in modes.items():
            taken = mode()
            found[name]["rate"].append(taken.images / taken.wall)
            found[name]["cpu"].append(1000 * taken.cpu / taken.images)
            print(f"{number + 1}/{runs} {name}: {taken.images / taken.wall:.0f}/s", flush=True)
    return found

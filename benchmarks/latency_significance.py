"""Significance of a slower model: how often the paired latency run reports a ratio significantly above the limit.

The model is timed against itself with additional CPU time, as a share of the CPU time from file to verdict. Runs
without other load alternate with runs during which two processes use as much CPU time as they get.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks import results
from starlight_exporter.dataset.layout import scan
from starlight_exporter.detector.decision import PLAIN
from starlight_exporter.evaluation.latency import measure_latency_pair
from starlight_exporter.statistics.latency_ratio import MIN_TIMINGS, LatencyRatio, latency_ratio
from support.slowed_detector import SlowedTimedDetector

LIMIT: Final = 1.2
FACTORS: Final = (1.0, 1.1, 1.3)
BUSY_PROCESSES: Final = {"idle": 0, "two busy processes": 2}
BUSY_RUNS_OF_FIVE: Final = 2
"""Runs with other load take three times as long, so only 16 of 40 have it."""


def measure(name: str, model: Path, root: Path, *, runs: int) -> None:
    """Time every factor `runs` times with and without other load; record ratios, contention and significance."""
    found: dict[str, dict[str, list[dict[str, Any]]]] = {load: {} for load in BUSY_PROCESSES}
    for number in range(runs):
        for load, processes in BUSY_PROCESSES.items():
            if processes and number % 5 >= BUSY_RUNS_OF_FIVE:
                continue
            for factor in FACTORS:
                with _busy(processes):
                    ratio = _ratio(model, root, factor, seed=number)
                found[load].setdefault(f"{factor:g}", []).append(
                    {
                        "significant": ratio.exceeds(LIMIT),
                        "wall": ratio.wall.value,
                        "cpu": ratio.cpu.value,
                        "contention": ratio.contention,
                        "lower": ratio.lower,
                    }
                )
                print(
                    f"{number + 1}/{runs} {load}, x{factor:g}: {ratio.value:.3f} by {ratio.clock} time, lower bound"
                    f" {ratio.lower:.3f}, contention {ratio.contention:.3f}",
                    flush=True,
                )
    for load, factors in found.items():
        for factor_text, entries in factors.items():
            significant = sum(entry["significant"] for entry in entries)
            print(f"{load}, x{factor_text}: {significant} of {len(entries)} significant")
    results.record(f"latency_significance {name} {root.name}", {"runs": found}, results.OPERATING_FILE)


def _ratio(model: Path, root: Path, factor: float, *, seed: int) -> LatencyRatio:
    slowed = SlowedTimedDetector(model, PLAIN, root, factor=factor)
    baseline = SlowedTimedDetector(model, PLAIN, root, factor=1.0)
    files = scan(root.name, root).files
    pair = measure_latency_pair(
        slowed, baseline, files, sample=MIN_TIMINGS, seed=seed, progress=lambda _done, _total: None
    )
    return latency_ratio(pair.model, pair.baseline, baseline_sha256="", seed=seed)


@contextmanager
def _busy(processes: int) -> Iterator[None]:
    # They also end if this process is killed.
    script = f"import os\nwhile os.getppid() == {os.getpid()}: pass"
    started = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()

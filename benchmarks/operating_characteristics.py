"""Operating characteristics of the checks: false significance, power, coverage of intervals, the shipped model.

    python -m benchmarks.operating_characteristics false-significance power coverage figure-coverage seeds report

Each part stores its numbers in operating_characteristics.json; `report` writes the page and plot of the same name. The
part about latency is that of `python -m benchmarks latency_significance`. Simulations use one process per core.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from benchmarks import figure_coverage, interval_coverage, operating_report, reference_seeds, results
from benchmarks.simulated_checks import Truth, simulate
from starlight_exporter.detector.contract import METHODS

ROOT: Final = Path(__file__).resolve().parent.parent

EVALUATIONS: Final = 1000
"""Simulated evaluations per cell."""
CLEAN_IMAGES: Final = (500, 2_000, 5_000, 10_000, 50_000)
FALSE_POSITIVE_RATES: Final = (0.0, 0.0002, 0.0005, 0.005)
MISS_RATES: Final = (0.05, 0.01, 0.0)
CORRELATIONS: Final = (0.0, 0.8, 1.0)

Result = TypeVar("Result")

Cell = tuple[int, float, float, float]
"""Clean images, false positive rate, miss rate, correlation of the errors of the two models."""

# fmt: off
CHANGES: Final[dict[str, Callable[[int], Truth]]] = {
    "FPR 0.05% to 0.2%, clean images": lambda n: Truth(n, round(0.16 * n), n // 25, 0.0005, 0.002, 0.01),
    "Detection 99% to 97%, all methods, images per method": lambda n: Truth(
        2_000, n, 80, 0.0005, 0.0005, 0.01, dict.fromkeys(METHODS, 0.03)
    ),
    "Detection 99% to 97%, one method, its images": lambda n: Truth(
        5_000, n, 200, 0.0005, 0.0005, 0.01, {"lsb": 0.03}
    ),
    "Detection 99% to 90%, one method, its images": lambda n: Truth(1_000, n, 40, 0.0005, 0.0005, 0.01, {"lsb": 0.1}),
    "Detection 100% to 36%, palette, its images": lambda n: Truth(1_000, n, 40, 0.0, 0.0, 0.0, {"palette": 0.64}),
}
# fmt: on
SIZES: Final = {
    "FPR 0.05% to 0.2%, clean images": (5_000, 8_000, 10_000),
    "Detection 99% to 97%, all methods, images per method": (150, 300, 600),
    "Detection 99% to 97%, one method, its images": (400, 800, 1_600),
    "Detection 99% to 90%, one method, its images": (40, 78, 160),
    "Detection 100% to 36%, palette, its images": (40, 80, 160),
}


def main(words: Sequence[str] | None = None) -> int:
    """Run the parts that the command line names, in their order."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operating_characteristics", description=__doc__)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    for name in parser.parse_args(words).parts:
        PARTS[name]()
    return 0


def cells() -> list[Cell]:
    """Return every cell of the simulation of equal models."""
    return list(itertools.product(CLEAN_IMAGES, FALSE_POSITIVE_RATES, MISS_RATES, CORRELATIONS))


def false_significance(cell: Cell) -> float:
    """Return the share of evaluations with a significant check whose null hypothesis is true."""
    clean, fpr, misses, correlation = cell
    truth = Truth(clean, max(1, round(0.16 * clean)), clean // 25, fpr, fpr, misses, {}, correlation)
    return _share(truth, null_is_true=True, seed=cells().index(cell))


def power(change: str, images: int) -> float:
    """Return the share of evaluations in which a change is significant."""
    return _share(CHANGES[change](images), null_is_true=False, seed=images)


def _share(truth: Truth, *, null_is_true: bool, seed: int) -> float:
    random = np.random.default_rng(seed)
    found = 0
    for _ in range(EVALUATIONS):
        checks = simulate(truth, random)
        found += any(one.significant and truth.null_is_true(one) is null_is_true for one in checks)
    return found / EVALUATIONS


def _measure_false_significance() -> None:
    measured = _in_processes(false_significance, cells())
    _record("false_significance", [[*cell, share] for cell, share in zip(cells(), measured, strict=True)])


def _measure_power() -> None:
    settings = [(change, images) for change, sizes in SIZES.items() for images in sizes]
    measured = _in_processes(_power_of, settings)
    _record("power", [[*setting, share] for setting, share in zip(settings, measured, strict=True)])


def _power_of(setting: tuple[str, int]) -> float:
    return power(*setting)


def _measure_coverage() -> None:
    settings = list(interval_coverage.settings())
    measured = _in_processes(partial(_coverage_of, runs=10 * EVALUATIONS), settings)
    _record("coverage", [[*setting, share] for setting, share in zip(settings, measured, strict=True)])


def _coverage_of(setting: interval_coverage.Setting, *, runs: int) -> float:
    return interval_coverage.coverage(setting, runs=runs, seed=7)


def _measure_figure_coverage() -> None:
    settings = list(figure_coverage.settings())
    measured = _in_processes(partial(_figure_coverage_of, runs=figure_coverage.RUNS), settings)
    rows = [[*setting, shares] for setting, shares in zip(settings, measured, strict=True)]
    _record("figure_coverage", rows)


def _figure_coverage_of(setting: figure_coverage.Setting, *, runs: int) -> dict[str, float]:
    return figure_coverage.coverage(setting, runs=runs, seed=7)


def _measure_seeds() -> None:
    _record("seeds", reference_seeds.measure(ROOT, seeds=10))


def _in_processes(function: Callable[[Any], Result], arguments: Sequence[Any]) -> list[Result]:
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        found = []
        for argument, value in zip(arguments, pool.map(function, arguments), strict=True):
            print(argument, value, flush=True)
            found.append(value)
        return found


def _record(part: str, rows: list[Any]) -> None:
    results.record(part, {"rows": rows}, results.OPERATING_FILE)


PARTS: Final[dict[str, Callable[[], None]]] = {
    "false-significance": _measure_false_significance,
    "power": _measure_power,
    "coverage": _measure_coverage,
    "figure-coverage": _measure_figure_coverage,
    "seeds": _measure_seeds,
    "report": operating_report.write,
}

if __name__ == "__main__":
    sys.exit(main())

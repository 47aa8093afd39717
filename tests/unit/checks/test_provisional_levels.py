"""Error level and power of both phases, by a short form of benchmarks/provisional.py."""

from __future__ import annotations

import pytest

from benchmarks.provisional import changed, unchanged

RUNS = 100

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("cell", [(0.0005, 0.01, 0.8), (0.005, 0.05, 0.0)])
def test_unchanged_model_rarely_fails_significantly_in_either_phase(cell: tuple[float, float, float]) -> None:
    # At most 1% is expected; more than 5 of 100 would have a probability below 0.1%.
    assert unchanged(*cell, RUNS)[-1] <= 5 / RUNS


@pytest.mark.parametrize(("change", "power"), [("detection of one method 99% to 90%", 0.9), ("FPR 0.05% to 2%", 0.95)])
def test_large_regressions_are_significant_in_the_sample(change: str, power: float) -> None:
    _, sample, complete, either = changed(change, RUNS)
    assert sample >= power
    assert complete == either == 1.0

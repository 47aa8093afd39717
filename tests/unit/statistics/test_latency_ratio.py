"""Latency relative to the baseline model: contention, the clock in use, and significance."""

from __future__ import annotations

import numpy as np
import pytest

from starlight_exporter.statistics.latency_ratio import (
    BUSY_CONTENTION,
    MIN_TIMINGS,
    LatencyRatio,
    Timings,
    contention,
    latency_ratio,
)
from starlight_exporter.statistics.resampling import QuantileRatio, quantile_ratio

IDLE, BUSY = 0.01, 0.3


def ratio_of(wall_lower: float, cpu_lower: float, contended: float, timings: int = MIN_TIMINGS) -> LatencyRatio:
    return LatencyRatio(
        timings=timings,
        wall=QuantileRatio(wall_lower + 0.1, wall_lower, wall_lower + 0.2),
        cpu=QuantileRatio(cpu_lower + 0.05, cpu_lower, cpu_lower + 0.1),
        contention=contended,
        baseline_sha256="b" * 64,
    )


@pytest.mark.parametrize(
    ("wall_lower", "cpu_lower", "contended", "significant"),
    [
        (1.25, 1.25, IDLE, True),
        (1.15, 1.25, IDLE, False),
        (1.25, 1.15, IDLE, False),
        (1.15, 1.15, IDLE, False),
        (1.2, 1.25, IDLE, False),
        (1.25, 1.2, IDLE, False),
        (1.25, 1.25, BUSY, True),
        (1.15, 1.25, BUSY, True),
        (1.25, 1.15, BUSY, False),
        (1.15, 1.15, BUSY, False),
    ],
)
def test_exceeds_limit_by_both_clocks_or_by_cpu_time_if_busy(
    wall_lower: float, cpu_lower: float, contended: float, significant: bool
) -> None:
    assert ratio_of(wall_lower, cpu_lower, contended).exceeds(1.2) is significant


def test_clock_in_use_follows_the_contention() -> None:
    idle, busy = ratio_of(1.3, 1.1, BUSY_CONTENTION), ratio_of(1.3, 1.1, np.nextafter(BUSY_CONTENTION, 1.0))
    assert (idle.busy, idle.clock, idle.value, idle.lower) == (False, "wall", idle.wall.value, 1.3)
    assert (busy.busy, busy.clock, busy.value, busy.lower) == (True, "cpu", busy.cpu.value, 1.1)


@pytest.mark.parametrize(("timings", "enough"), [(999, False), (1000, True), (1012, True)])
def test_is_not_significant_with_fewer_than_1000_timings(timings: int, enough: bool) -> None:
    found = ratio_of(2.0, 2.0, IDLE, timings)
    assert found.enough is enough
    assert found.exceeds(1.2) is enough
    assert found.value == 2.1


def test_contention_is_the_share_of_wall_time_without_cpu_time() -> None:
    wall = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert contention(wall, wall * 0.75) == pytest.approx(0.25)
    # One long interruption counts, although the median of CPU / wall does not change.
    interrupted = wall.copy()
    interrupted[1, 1] = 14.0
    assert contention(interrupted, wall) == pytest.approx(0.5)
    assert contention(wall, wall * 1.001) == 0.0


def test_ratio_covers_the_timings_of_both_models() -> None:
    rng = np.random.default_rng(0)
    base = 0.003 * rng.lognormal(0.0, 0.3, (50, 4))
    model = Timings(wall=base * 3.0, cpu=base * 1.5)
    baseline = Timings(wall=base, cpu=base * rng.uniform(0.9, 1.0, base.shape))
    found = latency_ratio(model, baseline, baseline_sha256="c" * 64, seed=7)
    assert found.timings == 200
    assert found.baseline_sha256 == "c" * 64
    assert found.wall == quantile_ratio(model.wall, baseline.wall, 0.95, 7)
    assert found.cpu == quantile_ratio(model.cpu, baseline.cpu, 0.95, 7)
    cpu, wall = model.cpu.sum() + baseline.cpu.sum(), model.wall.sum() + baseline.wall.sum()
    assert found.contention == pytest.approx(1 - cpu / wall)

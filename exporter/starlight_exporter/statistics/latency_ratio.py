"""Latency of a model relative to a baseline model that was timed alternately with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.statistics.resampling import QuantileRatio, quantile_ratio

RATIO_QUANTILE: Final = 0.95
MIN_TIMINGS: Final = 1000
"""Timings per model that are needed for a significant result: about 98% power for a ratio of 1.3 and a limit of 1.2."""
BUSY_CONTENTION: Final = 0.05
"""Above this contention the machine was busy: idle at most 0.01, with two busy processes on two cores about 0.35."""

LatencyClock = Literal["wall", "cpu"]


@dataclass(frozen=True, slots=True)
class Timings:
    """Wall and CPU seconds of the calls of one model, shape (images, repeats) each."""

    wall: NDArray[np.float64]
    cpu: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LatencyRatio:
    """p95 of the time from file to verdict, divided by that of the baseline model in the same run.

    `timings` is their number per model. `wall` and `cpu` are the ratios of wall time and of the CPU time of the timed
    thread, `contention` is the share of wall time that this thread did not run.
    """

    timings: int
    wall: QuantileRatio
    cpu: QuantileRatio
    contention: float
    baseline_sha256: str

    @property
    def enough(self) -> bool:
        """Whether there are enough timings for a significant result."""
        return self.timings >= MIN_TIMINGS

    @property
    def busy(self) -> bool:
        """Whether other processes used the processor, so that wall time is not a property of the model."""
        return self.contention > BUSY_CONTENTION

    @property
    def clock(self) -> LatencyClock:
        """The clock in use: CPU time on a busy machine, else wall time."""
        return "cpu" if self.busy else "wall"

    @property
    def value(self) -> float:
        """The ratio by the clock in use."""
        return self._ratio.value

    @property
    def lower(self) -> float:
        """The 0.5% bound of the ratio by the clock in use."""
        return self._ratio.lower

    def exceeds(self, limit: float) -> bool:
        """Return whether the ratio is significantly above the limit by both clocks, on a busy machine by CPU time.

        False with too few timings.
        """
        return self.enough and self.cpu.lower > limit and (self.busy or self.wall.lower > limit)

    @property
    def _ratio(self) -> QuantileRatio:
        return self.cpu if self.busy else self.wall


def contention(wall: NDArray[np.float64], cpu: NDArray[np.float64]) -> float:
    """Return the share of wall time that the timed thread did not run: 1 − ΣCPU / Σwall, at least 0."""
    return max(0.0, 1.0 - float(np.sum(cpu)) / float(np.sum(wall)))


def latency_ratio(model: Timings, baseline: Timings, *, baseline_sha256: str, seed: int) -> LatencyRatio:
    """Compare the timings of a model with those of the baseline model on the same images.

    Raise ValueError for unequal shapes, no timing, or seconds that are not positive.
    """
    return LatencyRatio(
        timings=model.wall.size,
        wall=quantile_ratio(model.wall, baseline.wall, RATIO_QUANTILE, seed),
        cpu=quantile_ratio(model.cpu, baseline.cpu, RATIO_QUANTILE, seed),
        contention=contention(np.stack([model.wall, baseline.wall]), np.stack([model.cpu, baseline.cpu])),
        baseline_sha256=baseline_sha256,
    )

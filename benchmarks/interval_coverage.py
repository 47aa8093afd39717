"""Coverage of the 95% confidence intervals of rates, for independent files and for covers of six files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from starlight_exporter.statistics.clustered import ClusterCounts, clustered_proportion

FILES_PER_COVER: Final = 6
RATES: Final = (0.02, 0.1, 0.5, 0.9, 0.98)
COVERS: Final = (50, 200, 1000)
INTRA_COVER_CORRELATIONS: Final = (0.1, 0.5, 0.9)


class Setting(NamedTuple):
    """Number of covers, files per cover, true rate, and correlation of two files of one cover."""

    covers: int
    files: int
    rate: float
    correlation: float


def settings() -> Iterator[Setting]:
    """Yield all settings: independent files, then shared covers."""
    for covers in COVERS:
        for rate in RATES:
            yield Setting(covers, 1, rate, 0.0)
            for correlation in INTRA_COVER_CORRELATIONS:
                yield Setting(covers, FILES_PER_COVER, rate, correlation)


def coverage(setting: Setting, *, runs: int, seed: int) -> float:
    """Return the share of simulated intervals that contain the true rate.

    Events of one cover follow a beta-binomial distribution: its probability is drawn once per cover.
    """
    random = np.random.default_rng(seed)
    inside = 0
    for _ in range(runs):
        probabilities: np.ndarray | float = setting.rate
        if setting.files > 1:
            concentration = 1 / setting.correlation - 1
            probabilities = random.beta(
                setting.rate * concentration, (1 - setting.rate) * concentration, size=setting.covers
            )
        events = random.binomial(setting.files, probabilities, size=setting.covers)
        measured = clustered_proportion(ClusterCounts.of(np.full(setting.covers, setting.files), events))
        inside += (
            measured.lower is not None
            and measured.upper is not None
            and (measured.lower <= setting.rate <= measured.upper)
        )
    return inside / runs

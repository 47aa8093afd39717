"""Coverage of the 95% confidence intervals of figures of merit, for scores with a known ROC curve."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import integrate, optimize, special

from starlight_exporter.statistics.figure_intervals import figures_of_merit
from starlight_exporter.statistics.figures_of_merit import FALSE_ALARM_RATES, FIGURES, WEIGHTED_BELOW, Figure
from starlight_exporter.statistics.scores import Scores

COVERS: Final = (200, 1000)
DISTANCES: Final = (1.0, 2.0)
SHARED: Final = ((1, 0.0), (3, 0.5))
"""Stego files per cover, and correlation of the scores of two files of one cover."""
RUNS: Final = 500
"""Simulated samples per setting; the standard error of a coverage of 95% is 1 percentage point."""
SPREAD: Final = 1.25
"""Standard deviation of the scores of stego files, relative to clean ones."""


class Setting(NamedTuple):
    """Covers with one clean file each, stego files per cover, distance of the mean scores, correlation in a cover."""

    covers: int
    stego: int
    distance: float
    correlation: float


def settings() -> Iterator[Setting]:
    """Yield all settings."""
    for covers in COVERS:
        for stego, correlation in SHARED:
            for distance in DISTANCES:
                yield Setting(covers, stego, distance, correlation)


def true_figures(distance: float) -> dict[Figure, float]:
    """Return the figures of the binormal ROC curve of N(0, 1) clean and N(distance, SPREAD²) stego scores."""

    def detection(rate: float) -> float:
        return float(special.ndtr((distance + special.ndtri(rate)) / SPREAD))

    def false_alarms(rate: float) -> float:
        return float(special.ndtr(SPREAD * special.ndtri(rate) - distance))

    def error(threshold: float) -> float:
        return float(special.ndtr(-threshold) + special.ndtr((threshold - distance) / SPREAD)) / 2

    parts = [integrate.quad(lambda rate: 1 - false_alarms(rate), 0, end)[0] for end in (1.0, WEIGHTED_BELOW)]
    at_rates = {figure: detection(float(rate)) for figure, rate in FALSE_ALARM_RATES.items()}
    return {
        **at_rates,
        "p_e": float(optimize.minimize_scalar(error, bounds=(-2, distance + 2), method="bounded").fun),
        "missed_detection_at_5_percent_fpr": 1 - detection(0.05),
        "false_alarms_at_50_percent_detection": false_alarms(0.5),
        "weighted_auc": sum(parts) / (1 + WEIGHTED_BELOW),
    }


def sample(setting: Setting, random: np.random.Generator) -> tuple[Scores, NDArray[np.int64]]:
    """Return scores of a simulated evaluation, and the number of the cover of each file."""
    covers, stego, distance, correlation = setting
    shared = np.sqrt(correlation) * random.normal(size=(covers, 1))
    own = np.sqrt(1 - correlation) * random.normal(size=(covers, 1 + stego))
    values = shared + own
    values[:, 1:] = distance + SPREAD * values[:, 1:]
    is_stego = np.zeros(values.shape, dtype=np.bool_)
    is_stego[:, 1:] = True
    # Figures depend on the order of scores only.
    probabilities = special.ndtr(values / 4)
    return Scores.of(probabilities.ravel(), is_stego.ravel()), np.repeat(np.arange(covers), 1 + stego)


def coverage(setting: Setting, *, runs: int, seed: int) -> dict[str, float]:
    """Return the share of simulated intervals that contain the true figure, for each measured figure."""
    random, truth = np.random.default_rng(seed), true_figures(setting.distance)
    inside: dict[Figure, int] = {}
    for run in range(runs):
        figures = figures_of_merit(*sample(setting, random), seed=run).figures
        for figure in FIGURES:
            one = figures[figure]
            if one.lower is not None and one.upper is not None:
                inside[figure] = inside.get(figure, 0) + (one.lower <= truth[figure] <= one.upper)
    return {figure: count / runs for figure, count in inside.items()}

"""Population stability index and Kolmogorov-Smirnov test: known values, ties, agreement with SciPy."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from starlight_exporter.statistics.drift import kolmogorov_smirnov, population_stability_index


def test_index_of_known_shares() -> None:
    # One reference value per bin; the sample has all of its ten values in the first bin.
    reference, sample = np.arange(10.0), np.zeros(10)
    p, first, other = 1.5 / 15, 10.5 / 15, 0.5 / 15
    expected = (p - first) * math.log(p / first) + 9 * (p - other) * math.log(p / other)
    assert population_stability_index(reference, sample) == pytest.approx(expected, abs=1e-12)


def test_index_of_equal_samples_is_zero() -> None:
    values = np.random.default_rng(1).normal(size=500)
    assert population_stability_index(values, values) == 0.0


def test_index_of_a_binary_variable_has_two_bins() -> None:
    reference, sample = np.repeat([0.0, 1.0], [900, 100]), np.repeat([0.0, 1.0], [600, 400])
    p, q = np.array([900.5, 100.5]) / 1001, np.array([600.5, 400.5]) / 1001
    expected = float(np.sum((p - q) * np.log(p / q)))
    assert population_stability_index(reference, sample) == pytest.approx(expected, abs=1e-12)


def test_index_of_a_constant_reference_is_finite_and_large_for_other_values() -> None:
    reference = np.zeros(1000)
    assert population_stability_index(reference, np.zeros(1000)) == 0.0
    assert population_stability_index(reference, np.repeat([0.0, 1.0], [700, 300])) > 1.0


def test_index_of_a_constant_reference_detects_smaller_values() -> None:
    assert population_stability_index(np.full(1000, 48.0), np.full(1000, 40.0)) > 1.0


def test_index_does_not_depend_on_the_unit() -> None:
    rng = np.random.default_rng(2)
    reference, sample = rng.integers(0, 40, 800).astype(float), rng.integers(5, 45, 700).astype(float)
    # A power of two is exact.
    assert population_stability_index(reference, sample) == population_stability_index(reference / 256, sample / 256)


@pytest.mark.parametrize("seed", range(20))
def test_kolmogorov_smirnov_agrees_with_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    discrete = seed % 2 == 0
    one, other = rng.normal(size=rng.integers(50, 400)), rng.normal(0.3, 1.2, size=rng.integers(50, 400))
    if discrete:
        one, other = np.round(one), np.round(other)
    distance, p_value = kolmogorov_smirnov(one, other)
    assert distance == pytest.approx(stats.ks_2samp(one, other, method="asymp").statistic, abs=1e-12)
    effective = math.sqrt(one.size * other.size / (one.size + other.size))
    assert p_value == pytest.approx(stats.kstwobign.sf(effective * distance), abs=1e-12)


def test_kolmogorov_smirnov_is_conservative_with_ties() -> None:
    rng = np.random.default_rng(3)
    rejected = sum(
        kolmogorov_smirnov(rng.integers(0, 2, 300).astype(float), rng.integers(0, 2, 300).astype(float))[1] < 0.05
        for _ in range(400)
    )
    assert rejected / 400 < 0.02


@pytest.mark.parametrize("measure", [population_stability_index, kolmogorov_smirnov])
def test_empty_sample_is_rejected(measure: Callable[[object, object], object]) -> None:
    for one, other in ((np.array([]), np.ones(3)), (np.ones(3), np.array([]))):
        with pytest.raises(ValueError, match="at least one value"):
            measure(one, other)

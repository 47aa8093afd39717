"""Bootstrap intervals with corrected bias, and p-values that agree with percentile intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from starlight_exporter.statistics.bootstrap_interval import bias_corrected_bounds, percentile_p_value


def normal(mean: float, resamples: int = 20_000) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return evenly spaced quantiles of a normal distribution with a standard deviation of 1."""
    return np.asarray(stats.norm.ppf((np.arange(resamples) + 0.5) / resamples, mean))


def test_bounds_without_bias_are_the_quantiles() -> None:
    assert bias_corrected_bounds(3.0, normal(3.0)) == pytest.approx((3 - 1.95996, 3 + 1.95996), abs=0.01)


def test_bounds_are_shifted_by_twice_the_bias() -> None:
    # Resamples are 0.5 below the value, as the value is below the truth.
    assert bias_corrected_bounds(3.0, normal(2.5)) == pytest.approx((3.5 - 1.95996, 3.5 + 1.95996), abs=0.01)


def test_bounds_of_constant_resamples_are_the_value() -> None:
    assert bias_corrected_bounds(0.25, np.full(100, 0.25)) == (0.25, 0.25)


@pytest.mark.parametrize("mean", [-2.4, -1.0, 0.3, 1.9, 2.1])
def test_p_value_is_below_5_percent_if_the_percentile_interval_excludes_zero(mean: float) -> None:
    resampled = normal(mean)
    p = percentile_p_value(resampled)
    assert p == pytest.approx(2 * stats.norm.sf(abs(mean)), abs=0.001)
    assert (p < 0.05) == (abs(mean) > 1.95996)
    assert percentile_p_value(-resampled) == p


def test_p_value_is_at_most_one_and_never_zero() -> None:
    assert percentile_p_value(np.zeros(10)) == 1.0
    assert percentile_p_value(np.ones(999)) == 2 / 1000

"""Bootstrap intervals with corrected bias."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from starlight_exporter.statistics.bootstrap_interval import bias_corrected_bounds


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

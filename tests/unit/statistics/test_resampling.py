"""The bootstrap of a ratio of quantiles against a slow reference, and its coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from starlight_exporter.statistics.resampling import QuantileRatio, quantile_ratio

Seconds = NDArray[np.float64]


def timings(images: int, repeats: int, *, seed: int, noise: float = 0.1) -> tuple[Seconds, Seconds]:
    """Return the timings of two equally fast models: images differ more than the calls of one image."""
    rng = np.random.default_rng(seed)
    seconds = 0.003 * rng.lognormal(0.0, 0.4, (images, 1))
    one, other = (seconds * rng.lognormal(0.0, noise, (images, repeats)) for _ in range(2))
    return one, other


def reference(one: Seconds, other: Seconds, quantile: float, seed: int) -> QuantileRatio:
    """Resample one list of images at a time, and sort all of its timings."""

    def order_statistic(values: Seconds) -> float:
        ordered = sorted(values.reshape(-1).tolist())
        return float(ordered[math.ceil(round(quantile * len(ordered), 9)) - 1])

    rng = np.random.default_rng(seed)
    ratios = []
    for _ in range(2000):
        chosen = rng.integers(0, len(one), len(one))
        ratios.append(order_statistic(one[chosen]) / order_statistic(other[chosen]))
    return QuantileRatio(
        order_statistic(one) / order_statistic(other),
        float(np.quantile(ratios, 0.005)),
        float(np.quantile(ratios, 0.995)),
    )


@pytest.mark.parametrize(("images", "repeats", "quantile"), [(40, 1, 0.95), (40, 3, 0.95), (7, 5, 0.5), (1, 1, 0.99)])
def test_equals_the_reference(images: int, repeats: int, quantile: float) -> None:
    one, other = timings(images, repeats, seed=images)
    assert quantile_ratio(one, other, quantile, 5) == reference(one, other, quantile, 5)


def test_result_does_not_depend_on_the_size_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = timings(30, 2, seed=1)
    expected = quantile_ratio(one, other, 0.95, 0)
    monkeypatch.setattr("starlight_exporter.statistics.resampling._BLOCK_VALUES", 60 * 7)
    assert quantile_ratio(one, other, 0.95, 0) == expected


def test_same_seed_gives_the_same_bounds() -> None:
    one, other = timings(1000, 1, seed=2)
    assert quantile_ratio(one, other, 0.95, 3) == quantile_ratio(one, other, 0.95, 3)
    assert quantile_ratio(one, other, 0.95, 3) != quantile_ratio(one, other, 0.95, 4)


def test_constant_factor_is_exact_because_images_are_paired() -> None:
    one, _ = timings(200, 2, seed=3)
    found = quantile_ratio(one * 1.3, one, 0.95, 0)
    assert [found.value, found.lower, found.upper] == pytest.approx([1.3, 1.3, 1.3])


def test_single_image_has_bounds_of_its_calls() -> None:
    rng = np.random.default_rng(3)
    one, other = rng.gamma(4.0, 1e-3, (2, 1, 1000))
    found = quantile_ratio(one, other, 0.95, 0)
    assert found.lower < 1.0 < found.upper
    assert found == quantile_ratio(one.T, other.T, 0.95, 0)


def test_timings_of_one_image_stay_together() -> None:
    """Ten equal repeats of an image carry no more information than one."""
    one, other = timings(60, 1, seed=4)
    single = quantile_ratio(one, other, 0.95, 0)
    repeated = quantile_ratio(np.repeat(one, 10, axis=1), np.repeat(other, 10, axis=1), 0.95, 0)
    assert repeated == single


@pytest.mark.slow
def test_bounds_exclude_the_true_ratio_in_at_most_3_percent_of_samples() -> None:
    bounds = [quantile_ratio(*timings(300, 1, seed=seed), 0.95, 0) for seed in range(100)]
    assert sum(found.lower > 1.0 for found in bounds) <= 3
    assert sum(found.upper < 1.0 for found in bounds) <= 3


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        (np.ones((2, 1)), np.ones((1, 2)), "same shape"),
        (np.ones(2), np.ones(2), "same shape"),
        (np.ones((0, 3)), np.ones((0, 3)), "same shape"),
        (np.ones((2, 1)), np.array([[1.0], [0.0]]), "positive seconds"),
        (np.array([[1.0], [math.nan]]), np.ones((2, 1)), "positive seconds"),
    ],
)
def test_rejects_unusable_timings(one: Seconds, other: Seconds, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quantile_ratio(one, other, 0.95, 0)

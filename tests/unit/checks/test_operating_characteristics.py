"""Simulated evaluations: equal models rarely fail significantly, and worse models do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.simulated_checks import Truth, simulate
from starlight_exporter.detector.contract import METHODS

EQUAL = Truth(
    clean_images=5_000,
    images_per_method=800,
    images_per_category=200,
    baseline_false_positives=0.0005,
    false_positives=0.0005,
    baseline_misses=0.01,
)
RUNS = 200


def share(truth: Truth, *, null_is_true: bool) -> float:
    """Return the share of evaluations with a significant check whose null hypothesis is true, or is not."""
    random = np.random.default_rng(20261130)
    return (
        sum(
            any(one.significant and truth.null_is_true(one) is null_is_true for one in simulate(truth, random))
            for _ in range(RUNS)
        )
        / RUNS
    )


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.8, 1.0])
def test_equal_models_rarely_fail_significantly(correlation: float) -> None:
    # At most 1% is expected; more than 8 of 200 would have a probability below 0.1%.
    assert share(replace(EQUAL, correlation=correlation), null_is_true=True) <= 8 / RUNS


@pytest.mark.slow
@pytest.mark.parametrize(
    "truth",
    [
        replace(EQUAL, clean_images=10_000, false_positives=0.003),
        replace(EQUAL, misses=dict.fromkeys(METHODS, 0.03)),
        replace(EQUAL, misses={"lsb": 0.05}),
        replace(EQUAL, images_per_method=160, misses={"palette": 0.64}),
    ],
)
def test_worse_model_fails_significantly(truth: Truth) -> None:
    assert share(truth, null_is_true=False) >= 0.95


def test_counts_of_a_simulated_evaluation_agree_with_its_rates() -> None:
    checks = simulate(replace(EQUAL, false_positives=0.02), np.random.default_rng(1))
    (found,) = (one for one in checks if one.name == "fpr_baseline")
    assert found.conclusion == "fail (significant)"
    assert found.value == pytest.approx(0.02, abs=0.008)

"""Simulated windows: false detections of drift without drift, and detections of images of another source."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.drift import ALLOWED, REQUIRED, share_detected
from starlight_exporter.evaluation.drift import DRIFT_VARIABLES

pytestmark = pytest.mark.slow


def population(images: int, *, seed: int, shift: float = 0.0) -> NDArray[np.float32]:
    """Return variables of every kind: continuous and dependent, skewed, binary, and constant; `shift` moves one."""
    rng = np.random.default_rng(seed)
    values = np.zeros((images, len(DRIFT_VARIABLES)))
    values[:, :6] = rng.normal(size=(images, 1)) + rng.normal(size=(images, 6))
    values[:, 6:10] = rng.exponential(size=(images, 4))
    values[:, 10:13] = rng.random((images, 3)) < (0.5, 0.1, 0.01)
    values[:, 13:16] = rng.integers(0, 3, (images, 3)) * (rng.random((images, 3)) < 0.2)
    values[:, 0] += shift
    return values.astype(np.float32)


POPULATION = population(4000, seed=1)


@pytest.mark.parametrize("window", [100, 1000])
def test_windows_without_drift_rarely_alarm(window: int) -> None:
    share = share_detected(POPULATION, POPULATION, reference=1000, window=window, share=0.0, seed=2)
    assert share <= ALLOWED


def test_windows_with_images_of_another_source_are_detected() -> None:
    other = population(1000, seed=3, shift=5.0)
    assert share_detected(POPULATION, other, reference=1000, window=1000, share=0.3, seed=4) >= REQUIRED


def test_small_shift_is_no_drift_however_large_the_window() -> None:
    # A tenth of a standard deviation is significant in 2,000 images, but without consequences.
    other = population(4000, seed=5, shift=0.15)
    assert share_detected(POPULATION, other, reference=2000, window=2000, share=1.0, seed=6, windows=50) <= ALLOWED

"""Figures of merit and calibration curves agree with those computed from scikit-learn's curves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from starlight_exporter.statistics.calibration import calibration_curve
from starlight_exporter.statistics.figures_of_merit import FIGURES, Figure, figure_values
from starlight_exporter.statistics.roc import observed_curve, rank
from starlight_exporter.statistics.scores import CALIBRATION_BINS, Scores

metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
calibration = pytest.importorskip("sklearn.calibration", reason="scikit-learn is not installed")


def from_roc_curve(is_stego: NDArray[np.bool_], scores: NDArray[np.float64]) -> dict[Figure, float]:
    """Return the figures from the points of scikit-learn's ROC curve."""
    fpr, tpr, _ = metrics.roc_curve(is_stego, scores, drop_intermediate=False)
    # Insert the point at a detection rate of 0.4 into its segment.
    after = int(np.flatnonzero(tpr >= 0.4)[0])
    share = (0.4 - tpr[after - 1]) / (tpr[after] - tpr[after - 1])
    x = np.insert(tpr, after, 0.4)
    y = 1 - np.insert(fpr, after, fpr[after - 1] + share * (fpr[after] - fpr[after - 1]))
    weighted = 2 * metrics.auc(x[: after + 1], y[: after + 1]) + metrics.auc(x[after:], y[after:])
    detection = {rate: tpr[fpr <= rate].max() for rate in (0.001, 0.01, 0.05)}
    return {
        "p_e": ((fpr + 1 - tpr) / 2).min(),
        "missed_detection_at_5_percent_fpr": 1 - detection[0.05],
        "false_alarms_at_50_percent_detection": fpr[tpr >= 0.5].min(),
        "weighted_auc": weighted / 1.4,
        "detection_at_0_1_percent_fpr": detection[0.001],
        "detection_at_1_percent_fpr": detection[0.01],
        "detection_at_5_percent_fpr": detection[0.05],
    }


def assert_figures_agree(is_stego: NDArray[np.bool_], scores: NDArray[np.float64]) -> None:
    curve = observed_curve(rank(scores, is_stego, np.arange(len(scores))))
    found = {figure: float(figure_values(curve, figure)[0]) for figure in FIGURES}
    assert found == pytest.approx(from_roc_curve(is_stego, scores), abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("digits", [1, 2, 12])
def test_figures_agree_on_thousands_of_files(seed: int, digits: int) -> None:
    random = np.random.default_rng(seed)
    is_stego = random.random(6_000) < 0.4
    scores = np.round(random.normal(is_stego * random.uniform(0, 3)), digits)
    assert_figures_agree(is_stego, scores)


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=60))
def test_figures_agree_with_ties(entries: list[tuple[int, bool]]) -> None:
    is_stego = np.array([stego for _, stego in entries])
    if is_stego.all() or not is_stego.any():
        return
    assert_figures_agree(is_stego, np.array([score / 9 for score, _ in entries]))


def test_calibration_curves_agree() -> None:
    random = np.random.default_rng(2)
    # No probability is on an edge: bins of scikit-learn contain their lower edge.
    probabilities = random.beta(0.4, 0.5, 5_000)
    is_stego = random.random(5_000) < probabilities**1.5
    shares, means = calibration.calibration_curve(is_stego, probabilities, n_bins=CALIBRATION_BINS)
    curve = calibration_curve(Scores.of(probabilities, is_stego), np.arange(5_000))
    assert [one.mean_probability for one in curve] == pytest.approx(means.tolist(), abs=1e-12)
    assert [one.stego.ratio for one in curve] == pytest.approx(shares.tolist(), abs=1e-12)

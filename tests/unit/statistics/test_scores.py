"""ROC AUC, log loss and calibration error against direct definitions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlight_exporter.statistics.scores import Scores, expected_calibration_error, log_loss, roc_auc

scored = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 1 / 15, 0.25, 0.5, 0.75, 0.9999, 1.0]) | st.floats(0, 1), st.booleans()),
    max_size=40,
)


@given(scored)
@settings(deadline=None)
def test_roc_auc_equals_the_share_of_ordered_pairs(entries: list[tuple[float, bool]]) -> None:
    auc = roc_auc(Scores.of([p for p, _ in entries], [y for _, y in entries]))
    pairs = [(a > b) + (a == b) / 2 for a, ya in entries if ya for b, yb in entries if not yb]
    if not pairs:
        assert auc is None
    else:
        assert auc == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)


def test_roc_auc_of_constant_perfect_and_inverted_models() -> None:
    assert roc_auc(Scores.of([0.3] * 5, [True, False, True, False, False])) == 0.5
    assert roc_auc(Scores.of([0.1, 0.2, 0.8, 0.9], [False, False, True, True])) == 1.0
    assert roc_auc(Scores.of([0.1, 0.2, 0.8, 0.9], [True, True, False, False])) == 0.0


@given(scored.filter(bool))
@settings(deadline=None)
def test_log_loss_equals_the_mean_of_the_logarithms(entries: list[tuple[float, bool]]) -> None:
    eps = 2.0**-52
    expected = 0.0
    for p, stego in entries:
        clipped = min(max(p, eps), 1 - eps)
        expected -= math.log(clipped if stego else 1 - clipped) / len(entries)
    loss = log_loss(Scores.of([p for p, _ in entries], [y for _, y in entries]))
    assert loss is not None
    assert math.isfinite(loss)
    assert loss == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_log_loss_of_a_certain_error_is_finite() -> None:
    assert log_loss(Scores.of([0.0], [True])) == pytest.approx(52 * math.log(2))


@given(scored.filter(bool))
@settings(deadline=None)
def test_calibration_error_equals_explicit_binning(entries: list[tuple[float, bool]]) -> None:
    bins: dict[int, list[tuple[float, bool]]] = {}
    for p, stego in entries:
        index = next(i for i in range(15) if p <= (i + 1) / 15 or i == 14)
        bins.setdefault(index, []).append((p, stego))
    expected = sum(abs(sum(p for p, _ in b) - sum(y for _, y in b)) for b in bins.values()) / len(entries)
    error = expected_calibration_error(Scores.of([p for p, _ in entries], [y for _, y in entries]))
    assert error == pytest.approx(expected, abs=1e-12)


def test_calibration_error_of_extreme_probabilities() -> None:
    assert expected_calibration_error(Scores.of([0.0, 1.0], [False, True])) == 0.0
    assert expected_calibration_error(Scores.of([0.0, 1.0], [True, False])) == 1.0
    assert expected_calibration_error(Scores.of([0.5] * 4, [True, True, False, False])) == 0.0


def test_scores_without_images_are_none() -> None:
    nothing = Scores.of([], [])
    assert roc_auc(nothing) is None
    assert log_loss(nothing) is None
    assert expected_calibration_error(nothing) is None


@pytest.mark.parametrize("bad", [[math.nan], [-0.1], [1.1], [0.5, 0.5]])
def test_rejects_invalid_probabilities_and_shapes(bad: list[float]) -> None:
    with pytest.raises(ValueError, match=r"probability|length"):
        Scores.of(bad, [True])

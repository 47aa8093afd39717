"""Figures of merit: reference values, an independent implementation, ties and resampled curves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from starlight_exporter.statistics.figures_of_merit import (
    FIGURES,
    LARGER_IS_BETTER,
    Figure,
    figure_values,
    min_clean_files,
)
from starlight_exporter.statistics.roc import RankedFiles, cover_numbers, observed_curve, rank, resampled_curves

# Computed from the definitions independently of this package.
# fmt: off
REFERENCE: tuple[tuple[Sequence[float], Sequence[float], dict[Figure, float]], ...] = (
    (
        (-0.588, 0.215, 0.101, 0.157, -0.515, -1.728, 0.428, -1.545, 0.483, 1.507, -0.814, 0.105, 0.32, -0.7, 2.201,
         -0.392, -1.039, -0.23, -0.368, 0.263),
        (0.62, 2.622, 2.007, 0.897, 2.796, 2.502, 0.428, 1.561, 1.257, 0.599, 0.845, 0.333, 1.491, 0.016, 1.584, 1.571,
         0.367, 2.153, 0.983, 1.631),
        {
            "p_e": 0.125,
            "missed_detection_at_5_percent_fpr": 0.55,
            "false_alarms_at_50_percent_detection": 0.1,
            "weighted_auc": 0.9169642857142858,
        },
    ),
    (
        (0.1, 0.2, 0.2, 0.3, 0.4),
        (0.2, 0.3, 0.4, 0.4, 0.9),
        {
            "p_e": 0.29999999999999993,
            "missed_detection_at_5_percent_fpr": 0.8,
            "false_alarms_at_50_percent_detection": 0.2,
            "weighted_auc": 0.8357142857142857,
        },
    ),
)
# fmt: on


def ranked(clean: Sequence[float], stego: Sequence[float], covers: Sequence[int] | None = None) -> RankedFiles:
    files = len(clean) + len(stego)
    keys = range(files) if covers is None else covers
    return rank([*clean, *stego], [False] * len(clean) + [True] * len(stego), cover_numbers(keys))


def measured(files: RankedFiles) -> dict[Figure, float]:
    return {figure: float(figure_values(observed_curve(files), figure)[0]) for figure in FIGURES}


def naive(clean: Sequence[float], stego: Sequence[float]) -> dict[Figure, float]:
    """Return the figures from rates at every threshold, one by one."""
    points = [(Fraction(0), Fraction(0))]
    for threshold in sorted({*clean, *stego}, reverse=True):
        points.append(
            (
                Fraction(sum(score >= threshold for score in clean), len(clean)),
                Fraction(sum(score >= threshold for score in stego), len(stego)),
            )
        )

    def detection(limit: Fraction) -> Fraction:
        return max(tpr for fpr, tpr in points if fpr <= limit)

    def area(low: Fraction, high: Fraction) -> Fraction:
        total = Fraction(0)
        for (fpr, tpr), (next_fpr, next_tpr) in itertools.pairwise(points):
            start, end = max(tpr, low), min(next_tpr, high)
            if start < end:
                slope = (next_fpr - fpr) / (next_tpr - tpr)
                middle = fpr + slope * ((start + end) / 2 - tpr)
                total += (end - start) * (1 - middle)
        return total

    five = detection(Fraction(5, 100))
    split = Fraction(2, 5)
    values: dict[Figure, Fraction] = {
        "p_e": min((fpr + 1 - tpr) / 2 for fpr, tpr in points),
        "missed_detection_at_5_percent_fpr": 1 - five,
        "false_alarms_at_50_percent_detection": min(fpr for fpr, tpr in points if tpr >= Fraction(1, 2)),
        "weighted_auc": (2 * area(Fraction(0), split) + area(split, Fraction(1))) / Fraction(7, 5),
        "detection_at_0_1_percent_fpr": detection(Fraction(1, 1000)),
        "detection_at_1_percent_fpr": detection(Fraction(1, 100)),
        "detection_at_5_percent_fpr": five,
    }
    return {name: float(value) for name, value in values.items()}


# Few distinct scores give many ties; 40 clean images make 5% a whole number of images.
SCORES = st.lists(st.integers(0, 12).map(float), min_size=1, max_size=45)


@pytest.mark.parametrize(("clean", "stego", "expected"), REFERENCE)
def test_figures_equal_reference_values(
    clean: Sequence[float], stego: Sequence[float], expected: dict[Figure, float]
) -> None:
    values = measured(ranked(clean, stego))
    assert {name: values[name] for name in expected} == pytest.approx(expected, abs=1e-12)


@given(SCORES, SCORES)
def test_figures_equal_an_independent_implementation(clean: list[float], stego: list[float]) -> None:
    assert measured(ranked(clean, stego)) == pytest.approx(naive(clean, stego), abs=1e-12)


@given(SCORES, SCORES)
def test_figures_depend_on_the_order_of_scores_only(clean: list[float], stego: list[float]) -> None:
    moved = ranked([math.exp(one) - 7 for one in clean], [math.exp(one) - 7 for one in stego])
    assert measured(moved) == measured(ranked(clean, stego))


@given(SCORES, SCORES)
def test_figures_are_ratios_and_better_with_higher_stego_scores(clean: list[float], stego: list[float]) -> None:
    before, after = measured(ranked(clean, stego)), measured(ranked(clean, [one + 3 for one in stego]))
    for figure in FIGURES:
        assert 0 <= before[figure] <= 1
        change = after[figure] - before[figure]
        assert (change if LARGER_IS_BETTER[figure] else -change) >= -1e-12


def test_figures_of_constant_scores_are_those_of_a_single_threshold() -> None:
    files = ranked([0.3] * 4, [0.3] * 6)
    assert files.constant
    assert measured(files) == {
        "p_e": 0.5,
        "missed_detection_at_5_percent_fpr": 1.0,
        "false_alarms_at_50_percent_detection": 1.0,
        "weighted_auc": pytest.approx((0.5 + 0.32) / 1.4),
        "detection_at_0_1_percent_fpr": 0.0,
        "detection_at_1_percent_fpr": 0.0,
        "detection_at_5_percent_fpr": 0.0,
    }


def test_rate_equal_to_the_limit_is_allowed() -> None:
    clean = [float(number) for number in range(40)]
    # Two of 40 clean images are 5%: the threshold is 38.
    assert measured(ranked(clean, [38.0, 37.0]))["detection_at_5_percent_fpr"] == 0.5
    # One of two stego images is half of them.
    assert measured(ranked(clean, [38.0, 0.0]))["false_alarms_at_50_percent_detection"] == 2 / 40


def test_detection_at_a_rate_requires_two_divided_by_the_rate_clean_files() -> None:
    assert {figure: min_clean_files(figure) for figure in FIGURES if min_clean_files(figure) > 1} == {
        "detection_at_0_1_percent_fpr": 2_000,
        "detection_at_1_percent_fpr": 200,
        "detection_at_5_percent_fpr": 40,
    }


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.integers(0, 4)), min_size=1, max_size=30))
def test_resampled_curves_are_those_of_repeated_covers(entries: list[tuple[int, bool, int]]) -> None:
    scores, classes, covers = (list(column) for column in zip(*entries, strict=True))
    numbers = cover_numbers(covers)
    files = rank(scores, classes, numbers)
    (curves,) = next(resampled_curves([files], 7, seed=5))
    # The same generator, and each resample written out file by file.
    chosen = np.random.default_rng(5).integers(0, files.covers, (7, files.covers))
    expected = []
    for row in chosen:
        taken = [place for cover in row for place in np.flatnonzero(numbers == cover)]
        clean = [float(scores[place]) for place in taken if not classes[place]]
        stego = [float(scores[place]) for place in taken if classes[place]]
        if clean and stego:
            expected.append(naive(clean, stego))
    for figure in FIGURES:
        values = figure_values(curves, figure) if len(curves.clean) else np.zeros(0)
        assert values.tolist() == pytest.approx([one[figure] for one in expected], abs=1e-12)


def test_ranking_rejects_invalid_input() -> None:
    with pytest.raises(ValueError, match="same length"):
        rank([0.1, 0.2], [True], [0])
    with pytest.raises(ValueError, match="not a number"):
        rank([0.1, math.nan], [True, False], [0, 1])

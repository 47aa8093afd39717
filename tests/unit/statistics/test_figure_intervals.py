"""Intervals of figures of merit: reasons, bounds, shared covers, determinism and paired differences."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from starlight_exporter.statistics.figure_intervals import (
    FigureReason,
    FiguresOfMerit,
    figure_differences,
    figures_of_merit,
)
from starlight_exporter.statistics.figures_of_merit import TESTED_FIGURES
from starlight_exporter.statistics.scores import Scores


def probabilities(random: np.random.Generator, mean: float, files: int) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-random.normal(mean, 1.0, files)))


def scores_of(clean: NDArray[np.float64], stego: NDArray[np.float64]) -> Scores:
    return Scores.of(np.concatenate((clean, stego)), [False] * len(clean) + [True] * len(stego))


def own_covers(scores: Scores) -> NDArray[np.int64]:
    return np.arange(scores.is_stego.size)


def example(clean: int = 250, stego: int = 150, mean: float = 1.5) -> Scores:
    random = np.random.default_rng(3)
    return scores_of(probabilities(random, 0.0, clean), probabilities(random, mean, stego))


def reasons(figures: FiguresOfMerit) -> set[FigureReason | None]:
    return {one.not_measured for one in figures.figures.values()}


def test_every_interval_contains_its_value() -> None:
    scores = example()
    figures = figures_of_merit(scores, own_covers(scores), seed=0)
    assert (figures.clean, figures.stego, figures.covers) == (250, 150, 400)
    assert figures.figures["detection_at_0_1_percent_fpr"].not_measured == "few_clean_images"
    assert reasons(figures) == {None, "few_clean_images"}
    for one in figures.figures.values():
        if one.value is not None:
            assert one.lower is not None
            assert one.upper is not None
            assert 0 <= one.lower < one.value < one.upper <= 1
    assert [point.false_positive_rate for point in figures.roc] == sorted({p.false_positive_rate for p in figures.roc})
    assert figures.roc[0].false_positive_rate == 1 / 250
    assert (figures.roc[-1].false_positive_rate, figures.roc[-1].detection_rate) == (1.0, 1.0)
    assert all(point.lower <= point.detection_rate <= point.upper for point in figures.roc)


def test_equal_seeds_give_equal_intervals() -> None:
    scores = example()
    covers = own_covers(scores)
    assert figures_of_merit(scores, covers, seed=4) == figures_of_merit(scores, covers, seed=4)
    assert figures_of_merit(scores, covers, seed=4).figures != figures_of_merit(scores, covers, seed=5).figures


def test_shared_covers_widen_the_intervals() -> None:
    # Files of a cover have equal scores, so that they are no more than one observation.
    few = example(60, 60)
    repeated = Scores.of(np.repeat(few.probabilities, 6), np.repeat(few.is_stego, 6))
    together = figures_of_merit(repeated, np.repeat(own_covers(few), 6), seed=0).figures
    apart = figures_of_merit(repeated, own_covers(repeated), seed=0).figures
    for figure in ("p_e", "weighted_auc", "false_alarms_at_50_percent_detection"):
        wide, narrow = together[figure], apart[figure]
        assert wide.value == narrow.value
        assert wide.upper is not None
        assert wide.lower is not None
        assert narrow.upper is not None
        assert narrow.lower is not None
        assert wide.upper - wide.lower > 1.5 * (narrow.upper - narrow.lower)


@pytest.mark.parametrize(
    ("clean", "stego", "covers", "reason"),
    [
        ([], [], [], "no_images"),
        ([0.1, 0.2], [], [0, 1], "one_class"),
        ([], [0.9], [0], "one_class"),
        ([0.1, 0.2], [0.3, 0.4], [0, 0, 0, 0], "one_cover"),
        ([0.1, 0.2], [0.3, 0.4], [0, 0, 1, 2], "one_cover"),
        ([0.5, 0.5], [0.5, 0.5], [0, 1, 2, 3], "constant_scores"),
    ],
)
def test_not_measured_by_reason(
    clean: list[float], stego: list[float], covers: list[int], reason: FigureReason
) -> None:
    figures = figures_of_merit(scores_of(np.array(clean), np.array(stego)), np.array(covers, dtype=np.int64), seed=0)
    assert reasons(figures) == {reason}
    assert all(one.value is one.lower is one.upper is None for one in figures.figures.values())
    assert figures.roc == ()
    assert bool(figures.calibration) == bool(clean and stego)


def test_perfect_separation_has_an_interval() -> None:
    scores = scores_of(np.full(400, 0.1), np.full(200, 0.9))
    figures = figures_of_merit(scores, own_covers(scores), seed=0).figures
    # 0 of 400 clean and 200 of 200 stego images: exact upper bounds 0.92% and 1.83%.
    assert (figures["p_e"].value, figures["p_e"].lower) == (0.0, 0.0)
    assert figures["p_e"].upper == pytest.approx(np.hypot(0.009180, 0.018276) / 2, abs=1e-5)
    assert (figures["weighted_auc"].value, figures["weighted_auc"].upper) == (1.0, 1.0)
    assert figures["weighted_auc"].lower == pytest.approx(1 - (0.00918 * (1.4 - 0.018276) + 0.018276) / 1.4, abs=1e-5)
    assert figures["detection_at_1_percent_fpr"].lower == pytest.approx(1 - 0.018276, abs=1e-5)
    assert figures["missed_detection_at_5_percent_fpr"].upper == pytest.approx(0.018276, abs=1e-5)
    assert figures["false_alarms_at_50_percent_detection"].upper == pytest.approx(0.00918, abs=1e-5)


def test_few_clean_files_do_not_bound_the_detection_at_a_rate() -> None:
    # With 300 clean images, 1% are 3 images: there is none above the true threshold with a probability of 4.9%.
    scores = scores_of(np.full(300, 0.1), np.full(200, 0.9))
    figures = figures_of_merit(scores, own_covers(scores), seed=0).figures
    assert (figures["detection_at_1_percent_fpr"].value, figures["detection_at_1_percent_fpr"].lower) == (1.0, 0.0)
    assert figures["detection_at_5_percent_fpr"].lower == pytest.approx(1 - 0.018276, abs=1e-5)


def test_inverted_scores_have_an_interval() -> None:
    scores = scores_of(np.full(300, 0.9), np.full(200, 0.1))
    figure = figures_of_merit(scores, own_covers(scores), seed=0).figures["weighted_auc"]
    assert (figure.value, figure.lower) == (0.0, 0.0)
    assert figure.upper is not None
    assert 0.01 < figure.upper < 0.06


def test_calibration_bins_contain_all_files() -> None:
    scores = Scores.of([0.0, 1 / 15, 0.07, 0.5, 0.5, 1.0], [False, False, True, False, True, True])
    curve = figures_of_merit(scores, own_covers(scores), seed=0).calibration
    assert [(round(one.low * 15), round(one.high * 15)) for one in curve] == [(0, 1), (1, 2), (7, 8), (14, 15)]
    assert [(one.stego.count, one.stego.total) for one in curve] == [(0, 2), (1, 1), (1, 2), (1, 1)]
    assert curve[0].mean_probability == pytest.approx(1 / 30)
    assert (curve[2].stego.lower, curve[2].stego.upper) == pytest.approx((0.012579, 0.987421), abs=1e-6)


def test_difference_of_equal_models_has_no_interval_and_p_1() -> None:
    scores = example()
    found = figure_differences(scores, scores, own_covers(scores), seed=0, swaps=100)
    assert found["p_e"].value == 0.0
    assert found["p_e"].lower is found["p_e"].upper is None
    assert found["p_e"].p_value == 1.0
    assert found["detection_at_0_1_percent_fpr"].value is None


def test_difference_is_significant_for_a_better_model_and_reverses() -> None:
    better, worse = example(mean=2.5), example(mean=0.5)
    covers = own_covers(better)
    found, reversed_ = (
        figure_differences(*pair, covers, seed=1, swaps=2000) for pair in ((better, worse), (worse, better))
    )
    for figure in TESTED_FIGURES:
        one, other = found[figure], reversed_[figure]
        if one.value is None:
            continue
        assert one.lower is not None
        assert one.upper is not None
        assert one.p_value is not None
        assert one.p_value < 0.01
        assert (one.lower > 0) == (one.upper > 0)
        assert one.lower <= one.value <= one.upper
        assert (other.value, other.p_value) == pytest.approx((-one.value, one.p_value))


def test_difference_of_similar_models_is_not_significant() -> None:
    scores = example()
    noise = np.random.default_rng(9).normal(0.0, 0.01, scores.is_stego.size)
    similar = Scores.of(np.clip(scores.probabilities + noise, 0, 1), scores.is_stego)
    found = figure_differences(similar, scores, own_covers(scores), seed=1, swaps=2000)
    assert all(one.p_value is None or one.p_value > 0.01 for one in found.values())


def test_difference_requires_the_same_files() -> None:
    with pytest.raises(ValueError, match="same files"):
        figure_differences(example(10, 20), example(20, 10), np.arange(30), seed=0, swaps=10)

"""Tests of pairs of models: measured images, adjustment over the study, and reasons of what is not measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from starlight_exporter.analysis.model_pairs import SIGNIFICANCE_LEVEL, PairTest, max_swaps, pair_tests
from starlight_exporter.analysis.study_metrics import RATE_METRICS, TESTED_FIGURE_METRICS, TESTED_METRICS
from starlight_exporter.errors import ComparisonError
from starlight_exporter.evaluation.results import Prediction, RunResult
from starlight_exporter.statistics.multiple_testing import holm
from support.snapshots import example_prediction
from support.studies import result_of, scored_predictions


def by_metric(first: RunResult, second: RunResult) -> dict[tuple[str, str], PairTest]:
    return {(one.metric.name, one.metric.slice): one for one in pair_tests([(first, second)], seed=0)}


@pytest.fixture(scope="module")
def good() -> RunResult:
    return result_of(scored_predictions(3.0, 1), model="good")


@pytest.fixture(scope="module")
def bad() -> RunResult:
    return result_of(scored_predictions(0.2, 2), model="bad")


def test_identical_scores_have_p_1(good: RunResult) -> None:
    copy = replace(good, evaluation=replace(good.evaluation, model="copy"))
    for test in by_metric(good, copy).values():
        if test.conclusion != "not measured":
            assert (test.value, test.p_value, test.adjusted, test.conclusion) == (0.0, 1.0, 1.0, "not distinguished")


def test_better_model_is_distinguished(good: RunResult, bad: RunResult) -> None:
    found = by_metric(good, bad)
    assert {(one.name, one.slice) for one in TESTED_METRICS} == set(found)
    for name in ("p_e", "weighted_auc", "detection_rate"):
        test = found[name, "all"]
        assert test.conclusion == "distinguished"
        assert test.value is not None
        assert test.lower is not None
        assert test.upper is not None
        assert test.lower < test.value < test.upper
        assert (test.value > 0) == (name != "p_e")
    p_e = found["p_e", "all"]
    assert (p_e.images, p_e.covers, p_e.swaps) == (350, 250, max_swaps(2, 1))
    assert (found["false_positive_rate", "all"].conclusion, found["false_positive_rate", "all"].images) == (
        "not distinguished",
        250,
    )


def test_difference_is_first_minus_second(good: RunResult, bad: RunResult) -> None:
    forward, backward = by_metric(good, bad), by_metric(bad, good)
    for key, test in forward.items():
        other = backward[key]
        assert (other.only_first, other.only_second) == (test.only_second, test.only_first)
        assert other.value == (None if test.value is None else pytest.approx(-test.value))
        assert other.conclusion == test.conclusion
    stego = forward["detection_rate", "all"]
    detected, rest = good.evaluation.stego, bad.evaluation.stego
    assert stego.value == pytest.approx((detected.count - rest.count) / detected.total)


def test_p_values_are_adjusted_over_all_pairs_and_datasets(good: RunResult, bad: RunResult) -> None:
    third = result_of(scored_predictions(2.5, 3), model="third")
    one = (good, bad, third)
    two = tuple(replace(run, evaluation=replace(run.evaluation, dataset="other")) for run in one)
    found = pair_tests([one, two], seed=0)
    assert [(test.dataset, test.first, test.second) for test in found[:: len(TESTED_METRICS)]] == [
        (dataset, *pair)
        for dataset in ("reference", "other")
        for pair in (("good", "bad"), ("good", "third"), ("bad", "third"))
    ]
    measured = [test for test in found if test.p_value is not None]
    assert [test.adjusted for test in measured] == list(holm([test.p_value or 0.0 for test in measured]))
    # The dataset is the same, and so are the unadjusted p-values.
    half = len(found) // 2
    assert [test.p_value for test in found[:half]] == [test.p_value for test in found[half:]]


def test_smallest_adjusted_p_value_of_the_largest_family_is_below_the_level() -> None:
    for models, datasets in ((2, 1), (5, 6), (7, 5)):
        tests = models * (models - 1) // 2 * datasets * len(TESTED_METRICS)
        assert tests / (max_swaps(models, datasets) + 1) < SIGNIFICANCE_LEVEL / 2


def test_only_images_measured_by_both_models_are_compared(good: RunResult, bad: RunResult) -> None:
    def unmeasured(prediction: Prediction) -> Prediction:
        return replace(prediction, probability=None, verdict=None, not_measured="timeout")

    lost = result_of((*map(unmeasured, bad.predictions[:100]), *bad.predictions[100:]), model="lost")
    found = by_metric(good, lost)
    assert (found["false_positive_rate", "all"].images, found["p_e", "all"].images) == (150, 250)
    # Below 200 clean images.
    assert found["detection_at_1_percent_fpr", "all"].not_measured == "few_clean_images"


@pytest.mark.parametrize(
    ("case", "reason"), [("one class", "one_class"), ("one cover", "one_cover"), ("constant", "constant_scores")]
)
def test_figures_that_one_model_does_not_measure_are_not_measured(good: RunResult, case: str, reason: str) -> None:
    predictions = good.predictions
    if case == "one class":
        predictions = tuple(one for one in predictions if one.file_class != "stego")
    elif case == "one cover":
        predictions = tuple(replace(one, facts=replace(one.facts, cover="c")) for one in predictions)
    first = result_of(predictions, model="first")
    if case == "constant":
        predictions = tuple(replace(one, probability=0.5) for one in predictions)
    found = by_metric(first, result_of(predictions, model="second"))
    for metric in TESTED_FIGURE_METRICS:
        test = found[metric.name, "all"]
        assert (test.not_measured, test.conclusion, test.value, test.p_value) == (reason, "not measured", None, None)


def test_rates_without_images_or_with_one_cover_are_not_measured() -> None:
    predictions = (
        example_prediction("clean/a.png", verdict=True),
        example_prediction("stego/a.png", verdict=True, stego=True),
        example_prediction("stego/b.png", verdict=True, stego=True),
    )
    found = by_metric(result_of(predictions, model="one"), result_of(predictions, model="two"))
    reasons = {key: found[key].not_measured for key in ((one.name, one.slice) for one in RATE_METRICS)}
    assert reasons["false_positive_rate", "all"] == "one_cover"
    assert reasons["negatives_false_positive_rate", "all"] == "no_images"
    assert reasons["detection_rate", "all"] is None
    assert reasons["detection_rate", "lsb"] == "no_images"


def test_datasets_without_any_measured_image_have_no_test() -> None:
    results = [result_of((example_prediction(verdict=None),), model=name) for name in ("one", "two")]
    assert {test.not_measured for test in pair_tests([results], seed=0)} == {"no_images"}


def test_changed_dataset_is_an_error(good: RunResult) -> None:
    other = result_of(good.predictions, model="other", fingerprint="c" * 64)
    with pytest.raises(ComparisonError, match="good and other on reference are not comparable: different images"):
        pair_tests([(good, other)], seed=0)


def test_progress_counts_pairs(good: RunResult, bad: RunResult) -> None:
    steps: list[tuple[int, int]] = []
    third = result_of(bad.predictions, model="third")
    pair_tests([(good, bad, third)], seed=0, progress=lambda *step: steps.append(step))
    assert steps == [(1, 3), (2, 3), (3, 3)]

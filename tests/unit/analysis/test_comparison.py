"""Paired comparison: correctness, flips, slices, and evaluations that are not comparable."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scipy import stats

from starlight_exporter.analysis.comparison import SLICES, Flips, compare, flips, in_slice, noteworthy
from starlight_exporter.errors import ComparisonError
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.predictions import is_wrong
from starlight_exporter.evaluation.results import Prediction
from support.snapshots import example_prediction, full_evaluation


def clean(number: int, verdict: bool | None) -> Prediction:
    return example_prediction(f"clean/{number:03}.png", verdict=verdict)


def stego(number: int, verdict: bool | None) -> Prediction:
    return example_prediction(f"stego/{number:03}.png", verdict=verdict, stego=True)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (example_prediction(verdict=True), True),
        (example_prediction(verdict=False), False),
        (example_prediction(verdict=True, stego=True), False),
        (example_prediction(verdict=False, stego=True), True),
        (example_prediction(verdict=True, negative=True), True),
        (example_prediction(verdict=False, negative=True), False),
        (example_prediction(verdict=None), None),
        (example_prediction(verdict=None, stego=True), None),
    ],
)
def test_verdict_is_wrong_if_it_contradicts_the_label(given: Prediction, expected: bool | None) -> None:
    assert is_wrong(given) is expected
    assert noteworthy(PredictionTable.of([given])).tolist() == [bool(expected)]


def paths(found: Flips) -> tuple[list[str], list[str]]:
    return [flip.after.path for flip in found.files("fixed")], [flip.after.path for flip in found.files("broken")]


def test_flips_are_files_whose_correctness_differs() -> None:
    before = [
        example_prediction("clean/broken.png", verdict=False),
        example_prediction("clean/fixed.png", verdict=True),
        example_prediction("stego/a-fixed.png", verdict=False, stego=True),
        example_prediction("stego/same.png", verdict=False, stego=True),
        example_prediction("clean/unmeasured-before.png", verdict=None),
        example_prediction("clean/unmeasured-after.png", verdict=True),
        example_prediction("clean/only-before.png", verdict=True),
    ]
    after = [
        example_prediction("stego/a-fixed.png", verdict=True, stego=True),
        example_prediction("clean/broken.png", verdict=True),
        example_prediction("clean/fixed.png", verdict=False),
        example_prediction("stego/same.png", verdict=False, stego=True),
        example_prediction("clean/unmeasured-before.png", verdict=True),
        example_prediction("clean/unmeasured-after.png", verdict=None),
        example_prediction("clean/only-after.png", verdict=True),
    ]
    found = flips(before, after)
    assert paths(found) == (["clean/fixed.png", "stego/a-fixed.png"], ["clean/broken.png"])
    assert [entry.path for entry in found.after.rows(found.compared[:, 1])] == [
        "clean/broken.png",
        "clean/fixed.png",
        "stego/a-fixed.png",
        "stego/same.png",
    ]
    assert found.not_comparable == 4
    assert paths(flips(after, before)) == (["clean/broken.png"], ["clean/fixed.png", "stego/a-fixed.png"])


def test_same_path_with_other_content_is_not_comparable() -> None:
    before = clean(1, verdict=False)
    found = flips([before], [replace(clean(1, verdict=True), sha256="e" * 64)])
    assert (found.files("fixed"), found.files("broken"), len(found.compared), found.not_comparable) == ((), (), 0, 2)


def test_tests_every_slice_separately() -> None:
    before = [clean(i, verdict=False) for i in range(20)] + [stego(i, verdict=i >= 3) for i in range(10)]
    after = [clean(i, verdict=i < 8) for i in range(20)] + [stego(i, verdict=True) for i in range(10)]
    method = after[-1].method
    assert method is not None
    compared = compare(full_evaluation(), before, full_evaluation(), after, against="v3")
    assert set(compared.slices) == set(SLICES)
    assert compared.slices["clean"].images == 20
    assert (compared.slices["clean"].fixed, compared.slices["clean"].broken) == (0, 8)
    assert compared.slices["clean"].p_value == pytest.approx(stats.binomtest(0, 8).pvalue)
    assert compared.slices["stego"] == compared.slices[method]
    assert (compared.slices["stego"].images, compared.slices["stego"].fixed) == (10, 3)
    assert compared.slices["stego"].p_value == pytest.approx(stats.binomtest(3, 3).pvalue)
    assert compared.slices["negative"].images == 0
    assert compared.slices["negative"].p_value is None
    assert compared.not_comparable == 0


def test_negative_belongs_to_no_method() -> None:
    entry = example_prediction(negative=True)
    assert [name for name in SLICES if in_slice(PredictionTable.of([entry]), name).any()] == ["negative"]


def test_equal_verdicts_have_no_p_value() -> None:
    same = [clean(1, verdict=True)]
    compared = compare(full_evaluation(), same, full_evaluation(), same, against="v3")
    assert compared.slices["clean"].images == 1
    assert compared.slices["clean"].p_value is None


def test_rejects_different_images_and_different_rules() -> None:
    one = full_evaluation(evaluation_id="one", fingerprint="f" * 64)
    with pytest.raises(ComparisonError, match=r"one and two are not comparable: .* \(.*f{12} and e{12}\)$"):
        compare(one, [], full_evaluation(evaluation_id="two", fingerprint="e" * 64), [], against="v3")
    other = full_evaluation(evaluation_id="two", fingerprint="f" * 64, decision="probability > 0.9")
    with pytest.raises(ComparisonError, match=r"different decision rules \(probability > 0.5; probability > 0.9\)"):
        compare(one, [], other, [], against="v3")

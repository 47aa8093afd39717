"""Paired comparisons: who is right, who flipped, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scipy import stats

from starlight_exporter.analysis.comparison import SLICES, Flips, compare, flips, in_slice, is_wrong, misclassified
from starlight_exporter.errors import ComparisonError
from starlight_exporter.evaluation.results import Prediction
from support.publishing import evaluation, prediction


def clean(number: int, verdict: bool | None) -> Prediction:
    return prediction(f"clean/{number:03}.png", verdict=verdict)


def stego(number: int, verdict: bool | None) -> Prediction:
    return prediction(f"stego/{number:03}.png", verdict=verdict, stego=True)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (prediction(verdict=True), True),
        (prediction(verdict=False), False),
        (prediction(verdict=True, stego=True), False),
        (prediction(verdict=False, stego=True), True),
        (prediction(verdict=True, negative=True), True),
        (prediction(verdict=False, negative=True), False),
        (prediction(verdict=None), None),
        (prediction(verdict=None, stego=True), None),
    ],
)
def test_right_and_wrong(given: Prediction, expected: bool | None) -> None:
    assert is_wrong(given) is expected
    assert misclassified([given]) == ((given,) if expected else ())


def paths(found: Flips) -> tuple[list[str], list[str]]:
    return [flip.after.path for flip in found.fixed], [flip.after.path for flip in found.broken]


def test_flips_are_the_files_that_changed_sides() -> None:
    before = [
        prediction("clean/broken.png", verdict=False),
        prediction("clean/fixed.png", verdict=True),
        prediction("stego/a-fixed.png", verdict=False, stego=True),
        prediction("stego/same.png", verdict=False, stego=True),
        prediction("clean/unmeasured-before.png", verdict=None),
        prediction("clean/unmeasured-after.png", verdict=True),
        prediction("clean/only-before.png", verdict=True),
    ]
    after = [
        prediction("stego/a-fixed.png", verdict=True, stego=True),
        prediction("clean/broken.png", verdict=True),
        prediction("clean/fixed.png", verdict=False),
        prediction("stego/same.png", verdict=False, stego=True),
        prediction("clean/unmeasured-before.png", verdict=True),
        prediction("clean/unmeasured-after.png", verdict=None),
        prediction("clean/only-after.png", verdict=True),
    ]
    found = flips(before, after)
    assert paths(found) == (["clean/fixed.png", "stego/a-fixed.png"], ["clean/broken.png"])
    assert [entry.path for entry in found.compared] == [
        "clean/broken.png",
        "clean/fixed.png",
        "stego/a-fixed.png",
        "stego/same.png",
    ]
    assert found.not_comparable == 4
    assert paths(flips(after, before)) == (["clean/broken.png"], ["clean/fixed.png", "stego/a-fixed.png"])


def test_another_content_under_the_same_path_is_another_image() -> None:
    before = clean(1, verdict=False)
    found = flips([before], [replace(clean(1, verdict=True), sha256="e" * 64)])
    assert (found.fixed, found.broken, found.compared, found.not_comparable) == ((), (), (), 2)


def test_every_slice_is_tested_apart() -> None:
    before = [clean(i, verdict=False) for i in range(20)] + [stego(i, verdict=i >= 3) for i in range(10)]
    after = [clean(i, verdict=i < 8) for i in range(20)] + [stego(i, verdict=True) for i in range(10)]
    method = after[-1].method
    assert method is not None
    compared = compare(evaluation(), before, evaluation(), after, against="v3")
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


def test_a_negative_belongs_to_no_method() -> None:
    entry = prediction(negative=True)
    assert [name for name in SLICES if in_slice(entry, name)] == ["negative"]


def test_equal_verdicts_prove_nothing() -> None:
    same = [clean(1, verdict=True)]
    compared = compare(evaluation(), same, evaluation(), same, against="v3")
    assert compared.slices["clean"].images == 1
    assert compared.slices["clean"].p_value is None


def test_other_images_and_other_rules_are_refused() -> None:
    one = evaluation(evaluation_id="one", fingerprint="f" * 64)
    with pytest.raises(ComparisonError, match=r"one and two are not compared: .* \(.*f{12} and e{12}\)"):
        compare(one, [], evaluation(evaluation_id="two", fingerprint="e" * 64), [], against="v3")
    other = evaluation(evaluation_id="two", fingerprint="f" * 64, decision="probability > 0.9")
    with pytest.raises(ComparisonError, match=r"rules differ \(probability > 0.5; probability > 0.9\)"):
        compare(one, [], other, [], against="v3")

"""Counts, rates and scores of predictions."""

from __future__ import annotations

from itertools import pairwise, permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from starlight_exporter.detector.contract import FORMATS, METHODS
from starlight_exporter.evaluation.accuracy import OPERATING_THRESHOLDS, accuracy
from starlight_exporter.evaluation.results import Prediction
from starlight_exporter.statistics.intervals import proportion
from support.results import EMPTY, make_prediction

probabilities = st.none() | st.sampled_from([0.0, 0.5, 1.0, *OPERATING_THRESHOLDS]) | st.floats(0, 1)
entries = st.one_of(
    st.builds(make_prediction, st.just("a"), st.just("clean"), probabilities, image_format=st.sampled_from(FORMATS)),
    st.builds(make_prediction, st.just("b"), st.just("stego"), probabilities, method=st.sampled_from(METHODS)),
    st.builds(make_prediction, st.just("c"), st.just("negative"), probabilities, category=st.sampled_from(["x", "y"])),
)


def test_small_set_counted_by_hand() -> None:
    result = accuracy(
        [
            make_prediction("1", probability=0.9, image_format="jpeg"),
            make_prediction("2", probability=0.5, image_format="jpeg"),
            make_prediction("3", probability=0.1, image_format="gif"),
            make_prediction("4", probability=None, image_format="bmp"),
            make_prediction("5", "stego", 0.8, method="lsb", predicted="lsb"),
            make_prediction("6", "stego", 0.7, method="lsb", predicted="eoi"),
            make_prediction("7", "stego", 0.2, method="exif", predicted="exif"),
            make_prediction("8", "stego", None, reason="unlabelled"),
            make_prediction("9", "negative", 0.99, category="patterns"),
            make_prediction("10", "negative", None, category="natural_noise", reason="too_large"),
        ]
    )
    assert result.clean == proportion(1, 3)
    assert result.clean_by_format == {"jpeg": proportion(1, 2), "gif": proportion(0, 1), "bmp": EMPTY}
    assert result.negatives == {"natural_noise": EMPTY, "patterns": proportion(1, 1)}
    assert result.stego == proportion(2, 3)
    assert result.detections == {
        "alpha": EMPTY,
        "palette": EMPTY,
        "lsb": proportion(2, 2),
        "exif": proportion(0, 1),
        "eoi": EMPTY,
    }
    assert {reason: count for reason, count in result.not_measured.items() if count} == {
        "unreadable": 1,
        "too_large": 1,
        "unlabelled": 1,
    }
    assert result.confusion["clean"] == {"alpha": 1, "palette": 0, "lsb": 0, "exif": 0, "eoi": 0, "clean": 2}
    assert result.confusion["lsb"] == {"alpha": 0, "palette": 0, "lsb": 1, "exif": 0, "eoi": 1, "clean": 0}
    assert result.confusion["exif"]["clean"] == 1
    assert result.roc_auc == 5 / 9
    (half,) = (point for point in result.operating_points if point.threshold == 0.5)
    assert (half.false_positives, half.detections) == (proportion(1, 3), proportion(2, 3))


def test_scores_are_none_if_nothing_was_measured() -> None:
    for nothing in ([], [make_prediction("1", probability=None), make_prediction("2", "stego", None, method="lsb")]):
        result = accuracy(nothing)
        assert result.clean == result.stego == EMPTY
        assert result.roc_auc is result.log_loss is result.expected_calibration_error is None
        assert result.confusion == {}
        assert set(result.detections.values()) == {EMPTY}
        assert all(p.false_positives == p.detections == EMPTY for p in result.operating_points)


def test_confusion_is_empty_without_predicted_methods() -> None:
    assert (
        accuracy(
            [make_prediction("1", predicted=None), make_prediction("2", "stego", 0.9, method="lsb", predicted=None)]
        ).confusion
        == {}
    )


@given(st.lists(entries, max_size=40))
@settings(max_examples=80, deadline=None)
def test_slices_and_confusion_add_up(made: list[Prediction]) -> None:
    result = accuracy(made)
    measured = [entry for entry in made if entry.probability is not None]
    assert sum(result.not_measured.values()) == len(made) - len(measured)
    clean = result.clean_by_format.values()
    assert (sum(p.count for p in clean), sum(p.total for p in clean)) == (result.clean.count, result.clean.total)
    found = result.detections.values()
    assert (sum(p.count for p in found), sum(p.total for p in found)) == (result.stego.count, result.stego.total)
    negatives = sum(p.total for p in result.negatives.values())
    assert result.clean.total + result.stego.total + negatives == len(measured)
    if result.clean.total + result.stego.total:
        for method in METHODS:
            assert sum(result.confusion[method].values()) == result.detections[method].total
        assert sum(result.confusion["clean"].values()) == result.clean.total
        assert result.clean.total - result.confusion["clean"]["clean"] == result.clean.count


@given(st.lists(entries, max_size=40))
@settings(max_examples=50, deadline=None)
def test_detections_never_increase_with_the_threshold(made: list[Prediction]) -> None:
    points = accuracy(made).operating_points
    assert [point.threshold for point in points] == sorted(OPERATING_THRESHOLDS)
    for lower, higher in pairwise(points):
        assert higher.false_positives.count <= lower.false_positives.count
        assert higher.detections.count <= lower.detections.count


@given(st.lists(entries, max_size=20), st.randoms())
@settings(max_examples=50, deadline=None)
def test_result_does_not_depend_on_the_order_of_files(made: list[Prediction], random: object) -> None:
    shuffled = list(made)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert accuracy(shuffled) == accuracy(made)


def test_calibration_error_does_not_depend_on_rounding_order() -> None:
    probabilities = (0.95, 0.98, 0.999)
    errors = {
        accuracy([make_prediction(str(p), probability=p) for p in order]).expected_calibration_error
        for order in permutations(probabilities)
    }
    assert len(errors) == 1

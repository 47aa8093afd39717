"""Counts of slices and pairs of verdicts, with and without shared covers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from starlight_exporter.checks.baseline import Baseline
from starlight_exporter.checks.basis import basis_against_recorded
from starlight_exporter.checks.counts import PairedCounts, SliceCounts, baseline_errors, counts_of_rates, slice_counts
from starlight_exporter.checks.recorded_parts import RecordedCount, RecordedCounts, RecordedProvenance
from starlight_exporter.detector.contract import ImageFormat
from starlight_exporter.evaluation.accuracy import accuracy
from starlight_exporter.evaluation.results import FileFacts, Prediction
from starlight_exporter.statistics.clustered import ClusterCounts, effective_sample_size
from support.results import empty_evaluation, make_prediction


def clean(number: int, *, wrong: bool, cover: str | None = None, image_format: ImageFormat = "png") -> Prediction:
    prediction = make_prediction(f"clean/{number:04}.png", "clean", 0.9 if wrong else 0.1)
    return replace(prediction, sha256=f"{number:064x}", image_format=image_format, facts=FileFacts(cover=cover))


def test_counts_errors_by_class_format_category_and_method() -> None:
    predictions = [
        clean(1, wrong=True),
        clean(2, wrong=False, image_format="gif"),
        make_prediction("stego/1.png", "stego", 0.1, method="lsb"),
        make_prediction("stego/2.png", "stego", 0.9, method="alpha"),
        make_prediction("negatives/x/1.png", "negative", 0.9, category="x"),
        make_prediction("clean/unreadable.png", "clean", None),
    ]
    found = slice_counts(predictions, None)
    assert {key: (one.errors, one.files) for key, one in found.items()} == {
        "clean": (1, 2),
        "format:png": (1, 1),
        "format:gif": (0, 1),
        "stego:lsb": (1, 1),
        "stego:alpha": (0, 1),
        "negative:x": (1, 1),
    }
    assert {one.paired for one in found.values()} == {None}


def test_independent_files_keep_their_number() -> None:
    found = slice_counts([clean(n, wrong=n < 3) for n in range(100)], None)["clean"]
    assert found == SliceCounts(files=100, errors=3, covers=100, effective_files=100.0)
    assert found.effective_errors == pytest.approx(3.0)


def test_shared_covers_reduce_the_effective_number_of_files() -> None:
    """Six files of one cover have the same verdict: they count little more than one."""
    predictions = [clean(n, wrong=n // 6 < 10, cover=f"cover-{n // 6}") for n in range(600)]
    found = slice_counts(predictions, None)["clean"]
    expected = effective_sample_size(
        ClusterCounts.by_cover([str(p.facts.cover) for p in predictions], [p.verdict is True for p in predictions])
    )
    assert (found.files, found.errors, found.covers) == (600, 60, 100)
    assert found.effective_files == expected
    assert expected is not None
    assert 90 < expected < 110


def test_single_cover_has_no_effective_sample_size() -> None:
    found = slice_counts([clean(n, wrong=True, cover="only") for n in range(6)], None)["clean"]
    assert found.effective_files is None
    assert found.effective_errors == 0.0


def test_pairs_count_files_of_equal_path_and_content() -> None:
    before = [clean(1, wrong=True), clean(2, wrong=True), clean(3, wrong=False), clean(4, wrong=False)]
    after = [clean(1, wrong=True), clean(2, wrong=False), clean(3, wrong=True), clean(5, wrong=True)]
    replaced = replace(clean(4, wrong=True), sha256="f" * 64)
    paired = slice_counts([*after, replaced], baseline_errors([*after, replaced], before))["clean"].paired
    assert paired is not None
    assert (paired.files, paired.both_wrong, paired.fixed, paired.broken) == (3, 1, 1, 1)


def test_file_that_the_baseline_did_not_measure_is_not_paired() -> None:
    before = [replace(clean(1, wrong=False), verdict=None), clean(2, wrong=False)]
    after = [clean(1, wrong=True), clean(2, wrong=False)]
    paired = slice_counts(after, baseline_errors(after, before))["clean"].paired
    assert paired is not None
    assert (paired.files, paired.broken) == (1, 0)


def test_paired_test_is_mcnemar_for_independent_files_and_by_cover_otherwise() -> None:
    before = [clean(n, wrong=False) for n in range(40)]
    after = [clean(n, wrong=n < 12) for n in range(40)]
    independent = slice_counts(after, baseline_errors(after, before))["clean"].paired
    assert independent is not None
    assert independent.p_value == pytest.approx(2.0**-12, rel=1e-12)
    assert independent.effective_share == 1.0
    after = [clean(n, wrong=n < 12, cover=f"cover-{n // 6}") for n in range(40)]
    shared = slice_counts(after, baseline_errors(after, before))["clean"].paired
    assert shared is not None
    # Two covers changed, each with six files: both signs positive.
    assert (shared.broken, shared.p_value) == (12, 0.25)
    assert shared.effective_share < 1.0


def test_counts_without_predictions_agree_with_those_of_predictions() -> None:
    predictions = [clean(n, wrong=n < 3) for n in range(50)] + [
        make_prediction(f"stego/{n}.png", "stego", 0.9 if n else 0.1, method="lsb") for n in range(20)
    ]
    rates = accuracy(predictions)
    evaluation = empty_evaluation(
        clean=rates.clean, clean_by_format=rates.clean_by_format, detections=rates.detections, stego=rates.stego
    )
    assert counts_of_rates(evaluation) == slice_counts(predictions, None)


def test_recorded_errors_are_not_paired_in_an_extended_slice() -> None:
    """The gate adds negatives that were not recorded; the recorded baseline was not correct on them."""
    recorded = [
        replace(make_prediction(f"n/{n}.png", "negative", 0.9, category="x"), sha256=f"{n:064x}") for n in (1, 2)
    ]
    added = replace(make_prediction("more/3.png", "negative", 0.9, category="x"), sha256=f"{3:064x}")
    predictions = [clean(4, wrong=True), *recorded]
    provenance = empty_evaluation().provenance
    baseline = Baseline(
        counts=RecordedCounts(clean=RecordedCount(1, 1), negatives={"x": RecordedCount(2, 2)}),
        provenance=RecordedProvenance(dataset_fingerprint=provenance.dataset_fingerprint, decision=provenance.decision),
        misclassified=frozenset(one.sha256 for one in predictions),
    )
    same = basis_against_recorded(empty_evaluation(), predictions, baseline).counts
    assert same["negative:x"].paired == PairedCounts(2, broken=0, fixed=0, both_wrong=2, p_value=1.0)
    extended = basis_against_recorded(empty_evaluation(), [*predictions, added], baseline).counts
    assert extended["negative:x"].paired is None
    assert extended["clean"].paired == PairedCounts(1, broken=0, fixed=0, both_wrong=1, p_value=1.0)


def test_equal_files_with_different_labels_are_not_paired_with_a_recorded_baseline() -> None:
    """The same model has the same verdict on both, so that nothing is broken or fixed."""
    copy = replace(make_prediction("stego/1.png", "stego", 0.1, method="lsb"), sha256=f"{1:064x}")
    other = replace(make_prediction("stego/2.png", "stego", 0.9, method="lsb"), sha256=f"{2:064x}")
    predictions = [clean(1, wrong=False), clean(3, wrong=False), copy, other]
    provenance = empty_evaluation().provenance
    baseline = Baseline(
        counts=RecordedCounts(clean=RecordedCount(0, 2), detections={"lsb": RecordedCount(1, 2)}),
        provenance=RecordedProvenance(dataset_fingerprint=provenance.dataset_fingerprint, decision=provenance.decision),
        misclassified=frozenset({copy.sha256}),
    )
    counts = basis_against_recorded(empty_evaluation(), predictions, baseline).counts
    for key in ("clean", "stego:lsb"):
        assert counts[key].paired == PairedCounts(1, broken=0, fixed=0, both_wrong=0, p_value=1.0)

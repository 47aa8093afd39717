"""Evaluations of unlabelled datasets: no labels in any result, alarm rate, drift, and reasons for not measured."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from starlight_exporter.analysis.comparison import noteworthy
from starlight_exporter.dataset.window import Window
from starlight_exporter.evaluation.accuracy import accuracy
from starlight_exporter.evaluation.drift import (
    DRIFT_VARIABLES,
    MIN_IMAGES,
    MIN_PSI,
    Drift,
    DriftSample,
    VariableDrift,
    compare_samples,
    measure_drift,
)
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.predictions import is_wrong
from starlight_exporter.evaluation.request import DriftReference, RunRequest, UnlabelledImages
from starlight_exporter.evaluation.results import Evaluation, RunResult
from starlight_exporter.evaluation.run import evaluate
from starlight_exporter.evaluation.serialisation import from_json, to_json
from starlight_exporter.evaluation.unlabelled import SCORE_BINS, UnlabelledResult, unlabelled_result
from support.images import image_bytes
from support.models import write_constant_model
from support.results import empty_evaluation, make_prediction
from support.snapshots import NO_DRIFT

Requests = Callable[..., RunRequest]


def write_images(folder: Path, count: int, *, size: tuple[int, int] = (48, 40)) -> Path:
    folder.mkdir(exist_ok=True)
    for index in range(count):
        (folder / f"{index:04}.png").write_bytes(image_bytes(50_000 + index, size=size))
    return folder


def unlabelled(result: RunResult) -> UnlabelledResult:
    assert result.evaluation.unlabelled is not None
    return result.evaluation.unlabelled


def stored(result: RunResult, folder: Path) -> DriftReference:
    """Return the drift reference that the result of a labelled dataset is."""
    assert result.drift_sample is not None
    file = folder / "sample.npy"
    file.write_bytes(result.drift_sample.to_bytes())
    return DriftReference("reference", result.evaluation.id, result.evaluation.provenance, file)


@pytest.mark.slow
def test_images_are_in_no_labelled_result(request_for: Requests, tmp_path: Path) -> None:
    images = write_images(tmp_path / "incoming", 30)
    # Folder names of a labelled dataset have no meaning.
    shutil.copytree(images, images / "stego" / "lsb")
    (images / "broken.png").write_bytes(b"no image")
    result = evaluate(request_for(dataset_root=images, unlabelled=UnlabelledImages(), latency_sample=10))
    evaluation = result.evaluation
    assert (evaluation.images, evaluation.clean.total, evaluation.stego.total) == (61, 0, 0)
    assert not evaluation.negatives
    assert not evaluation.confusion
    assert not evaluation.clean_by_format
    assert (evaluation.roc_auc, evaluation.log_loss, evaluation.expected_calibration_error) == (None, None, None)
    assert (evaluation.shortcuts, evaluation.leaked_images, evaluation.latency) == ({}, None, None)
    assert all(point.false_positives.total == point.detections.total == 0 for point in evaluation.operating_points)
    assert result.drift_sample is None
    found = unlabelled(result)
    assert found.alarms.total == 60
    assert found.alarms.count == sum(one.verdict is True for one in result.predictions)
    assert sum(found.histogram) == 60
    assert evaluation.not_measured["unreadable"] == 1
    assert {one.file_class for one in result.predictions} == {"unlabelled"}
    assert [is_wrong(one) for one in result.predictions] == [None] * 61
    assert noteworthy(PredictionTable.of(result.predictions)).sum() == found.alarms.count
    assert found.drift.unavailable == "no_drift_reference"
    assert from_json(to_json(evaluation)) == evaluation


@pytest.mark.slow
def test_window_limits_the_evaluated_images(request_for: Requests, tmp_path: Path) -> None:
    images = write_images(tmp_path / "incoming", 20)
    found = unlabelled(evaluate(request_for(dataset_root=images, unlabelled=UnlabelledImages(Window(images=5)))))
    assert (found.images, found.images_outside_window, found.alarms.total) == (5, 15, 5)


@pytest.mark.slow
def test_empty_folder_is_not_measured(request_for: Requests, tmp_path: Path) -> None:
    result = evaluate(request_for(dataset_root=tmp_path, unlabelled=UnlabelledImages(Window(seconds=60))))
    found = unlabelled(result)
    assert (found.unavailable, found.alarms.ratio) == ("no images", None)
    assert found.drift.detected is None
    assert from_json(to_json(result.evaluation)) == result.evaluation


@pytest.mark.slow
def test_folder_without_readable_image_is_not_measured(request_for: Requests, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    found = unlabelled(evaluate(request_for(dataset_root=tmp_path, unlabelled=UnlabelledImages())))
    assert (found.unavailable, found.alarms.ratio) == ("no image could be measured", None)


@pytest.mark.slow
def test_drift_is_measured_against_clean_images_of_the_reference(request_for: Requests, tmp_path: Path) -> None:
    labelled = tmp_path / "labelled"
    write_images(labelled, 0)
    write_images(labelled / "clean", MIN_IMAGES + 20)
    write_images(labelled / "stego", 0)
    (labelled / "stego" / "a_lsb_1.png").write_bytes(image_bytes(1, size=(300, 300)))
    reference = stored(evaluate(request_for(dataset_root=labelled)), tmp_path)
    same = write_images(tmp_path / "same", MIN_IMAGES)
    other = write_images(tmp_path / "other", MIN_IMAGES, size=(40, 56))
    request = request_for(dataset_root=same, unlabelled=UnlabelledImages(None, reference))
    drift = unlabelled(evaluate(request)).drift
    assert (drift.reference_images, drift.images, drift.detected) == (MIN_IMAGES + 20, MIN_IMAGES, False)
    assert tuple(drift.variables) == DRIFT_VARIABLES
    drift = unlabelled(evaluate(replace(request, dataset_root=other))).drift
    assert drift.detected
    assert {"width", "height", "file_bytes"} <= set(drift.drifted)


@pytest.mark.slow
def test_drift_needs_the_same_model_file(request_for: Requests, tmp_path: Path, dataset_root: Path) -> None:
    reference = stored(evaluate(request_for(dataset_root=dataset_root)), tmp_path)
    other = write_constant_model(tmp_path / "other.onnx", logit=1.0)
    images = write_images(tmp_path / "incoming", 3)
    request = request_for(model_path=other, dataset_root=images, unlabelled=UnlabelledImages(None, reference))
    assert unlabelled(evaluate(request)).drift.unavailable == "different_model"


SPEC = empty_evaluation().provenance


def reference_file(folder: Path, images: int) -> DriftReference:
    values = np.random.default_rng(1).random((images, len(DRIFT_VARIABLES))).astype(np.float32)
    file = folder / "sample.npy"
    file.write_bytes(DriftSample(values).to_bytes())
    return DriftReference("reference", "id", SPEC, file)


def sample(images: int) -> DriftSample:
    return DriftSample(np.random.default_rng(2).random((images, len(DRIFT_VARIABLES))).astype(np.float32))


def test_reasons_without_drift(tmp_path: Path) -> None:
    reference = reference_file(tmp_path, MIN_IMAGES)
    found: dict[str, Drift] = {
        "no_drift_reference": measure_drift(None, sample(200), SPEC),
        "no_reference_result": measure_drift(DriftReference("reference"), sample(200), SPEC),
        "different_model": measure_drift(reference, sample(200), replace(SPEC, model_sha256="f" * 64)),
        "different_software": measure_drift(reference, sample(200), replace(SPEC, pillow_version="0")),
        "too_few_images": measure_drift(reference, sample(MIN_IMAGES - 1), SPEC),
    }
    few = tmp_path / "few"
    few.mkdir()
    found["too_few_reference_images"] = measure_drift(reference_file(few, MIN_IMAGES - 1), sample(200), SPEC)
    (few / "sample.npy").write_bytes(b"\x93NUMPY")
    damaged = replace(reference, sample_file=few / "sample.npy")
    found["reference_not_readable"] = measure_drift(damaged, sample(200), SPEC)
    assert {reason: one.unavailable for reason, one in found.items()} == {reason: reason for reason in found}
    assert all(one.detected is None and one.detail and not one.variables for one in found.values())


def test_another_decision_rule_is_comparable(tmp_path: Path) -> None:
    reference = reference_file(tmp_path, MIN_IMAGES)
    assert measure_drift(reference, sample(MIN_IMAGES), replace(SPEC, decision="other")).detected is False


@pytest.mark.parametrize("values", [np.zeros((200, 3), np.float32), np.full((200, len(DRIFT_VARIABLES)), np.nan, "f4")])
def test_stored_sample_with_other_variables_or_nan_is_damaged(tmp_path: Path, values: np.ndarray) -> None:
    reference = reference_file(tmp_path, MIN_IMAGES)
    (tmp_path / "sample.npy").write_bytes(DriftSample(values).to_bytes())
    assert measure_drift(reference, sample(200), SPEC).unavailable == "reference_not_readable"


@pytest.mark.parametrize("name", ["archive", "shape", "fewer rows", "no rows"])
def test_sample_that_states_another_shape_is_damaged(tmp_path: Path, name: str) -> None:
    reference = reference_file(tmp_path, MIN_IMAGES)
    file = io.BytesIO()
    match name:
        case "archive":
            np.savez(file, np.zeros(3))
        case "shape":
            header = {"descr": "<f4", "fortran_order": False, "shape": (10**14, len(DRIFT_VARIABLES))}
            np.lib.format.write_array_header_1_0(file, header)
        case "fewer rows":
            file.write((tmp_path / "sample.npy").read_bytes()[:-4])
        case "no rows":
            file.write(DriftSample(np.zeros((0, len(DRIFT_VARIABLES)), np.float32)).to_bytes())
    (tmp_path / "sample.npy").write_bytes(file.getvalue())
    expected = "too_few_reference_images" if name == "no rows" else "reference_not_readable"
    assert measure_drift(reference, sample(200), SPEC).unavailable == expected


def test_pickled_sample_is_not_loaded(tmp_path: Path) -> None:
    reference = reference_file(tmp_path, MIN_IMAGES)
    np.save(tmp_path / "sample.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert measure_drift(reference, sample(200), SPEC).unavailable == "reference_not_readable"


def test_drift_needs_a_significant_and_a_large_difference() -> None:
    assert VariableDrift(MIN_PSI, 0.1, 0.0099).has_drifted
    assert not VariableDrift(MIN_PSI, 0.1, 0.01).has_drifted
    assert not VariableDrift(MIN_PSI - 0.001, 0.1, 0.0).has_drifted


def test_shift_of_one_variable_is_attributed_to_it() -> None:
    values, moved = sample(1000).values, sample(2000).values[1000:].copy()
    moved[:, DRIFT_VARIABLES.index("score")] += 0.5
    found = compare_samples(values, moved)
    assert [name for name, one in found.items() if one.has_drifted] == ["score"]


def test_counts_of_predicted_methods_and_scores() -> None:
    predictions = [
        make_prediction("a.png", "unlabelled", 0.0, predicted="lsb"),
        make_prediction("b.png", "unlabelled", 1.0, predicted="lsb"),
        make_prediction("c.png", "unlabelled", 0.9, predicted="eoi"),
        make_prediction("d.png", "unlabelled", None),
    ]
    found = unlabelled_result(PredictionTable.of(predictions), images_outside_window=3, drift=NO_DRIFT)
    assert (found.images, found.alarms.count, found.alarms.total) == (4, 2, 3)
    assert {method: one.count for method, one in found.methods.items() if one.count} == {"lsb": 1, "eoi": 1}
    assert found.histogram[0] == found.histogram[SCORE_BINS - 1] == found.histogram[18] == 1


def test_model_without_methods_has_no_shares() -> None:
    predictions = [make_prediction("a.png", "unlabelled", 0.9, predicted=None)]
    assert unlabelled_result(PredictionTable.of(predictions), images_outside_window=0, drift=NO_DRIFT).methods == {}


def test_accuracy_ignores_unlabelled_images() -> None:
    predictions = [make_prediction("clean/a.png", "clean", 0.9)]
    assert accuracy([*predictions, make_prediction("b.png", "unlabelled", 0.9)]) == accuracy(predictions)


def test_result_of_an_earlier_version_is_labelled() -> None:
    old: Evaluation = from_json(to_json(empty_evaluation()).replace(',"unlabelled":null', ""))
    assert old.unlabelled is None

"""Provisional result: model and baseline model on a sample, its checks, and the file that hands it over."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import _GeneratorContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from starlight_exporter.activity import Activity, Phase, read_activity
from starlight_exporter.checks.limits import DEFAULT_LIMITS
from starlight_exporter.checks.provisional import check_sample
from starlight_exporter.checks.results import CheckResult
from starlight_exporter.detector.decision import PLAIN
from starlight_exporter.detector.model_file import model_sha256
from starlight_exporter.errors import DatasetError, StorageError
from starlight_exporter.evaluation import sample
from starlight_exporter.evaluation.inputs import list_dataset
from starlight_exporter.evaluation.provisional import measure_provisional
from starlight_exporter.evaluation.provisional_result import (
    ProvisionalFailure,
    ProvisionalResult,
    read_provisional,
    write_provisional,
)
from starlight_exporter.evaluation.request import BaselineModel, ProvisionalRequest, RunRequest, UnlabelledImages
from starlight_exporter.evaluation.run import evaluate
from starlight_exporter.runs.worker import Work
from starlight_exporter.runs.worker import evaluate as evaluate_in_worker
from support.models import write_constant_model, write_random_model
from support.snapshots import provisional_result

pytestmark = pytest.mark.slow

Requests = Callable[..., RunRequest]


@pytest.fixture
def small_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sample every dataset of more than 30 images."""
    monkeypatch.setattr(sample, "SAMPLE_IMAGES", 30)
    monkeypatch.setattr(sample, "_MIN_SAMPLE_IMAGES", 30)
    monkeypatch.setattr(sample, "TIMED_IMAGES", 10)


@pytest.fixture
def baseline(tmp_path: Path) -> BaselineModel:
    file = tmp_path / "baseline.onnx"
    write_random_model(file, seed=5, scale=40.0)
    return BaselineModel(file, PLAIN)


def measured(request: RunRequest) -> ProvisionalResult:
    result = measure_provisional(request)
    assert result is not None
    return result


def checked(result: ProvisionalResult) -> dict[tuple[str, str], CheckResult]:
    return {(one.name, one.slice): one for one in check_sample(result, DEFAULT_LIMITS, baseline="v3").checks}


@pytest.mark.usefixtures("small_samples")
def test_predictions_are_those_of_the_full_pass(request_for: Requests, baseline: BaselineModel) -> None:
    request = request_for(provisional=ProvisionalRequest(), baseline=baseline)
    result = measured(request)
    complete = evaluate(request)
    by_path = {one.path: replace(one, seconds=None) for one in complete.predictions}
    assert 25 < len(result.predictions) < 40
    assert [replace(one, seconds=None) for one in result.predictions] == [
        by_path[one.path] for one in result.predictions
    ]
    assert {one.file_class for one in result.predictions} == {"clean", "stego", "negative"}
    assert result.dataset_images == len(complete.predictions)
    assert result.spec == replace(result.spec, model_sha256=complete.evaluation.provenance.model_sha256)
    other = evaluate(replace(request, model_path=baseline.path, baseline=None))
    verdicts = {one.path: (one.sha256, one.verdict) for one in other.predictions}
    assert result.baseline is not None
    assert result.baseline.verdicts == {one.path: verdicts[one.path] for one in result.predictions}


def test_small_and_unlabelled_datasets_have_no_provisional_result(request_for: Requests) -> None:
    assert measure_provisional(request_for(provisional=ProvisionalRequest())) is None
    assert measure_provisional(request_for()) is None
    request = request_for(provisional=ProvisionalRequest(), unlabelled=UnlabelledImages())
    assert measure_provisional(request) is None


@pytest.mark.usefixtures("small_samples")
def test_verdicts_of_the_baseline_are_used_again(request_for: Requests, baseline: BaselineModel) -> None:
    request = request_for(provisional=ProvisionalRequest(), baseline=baseline)
    first = measured(request)
    assert first.baseline is not None
    marked = replace(
        first.baseline, verdicts={path: (sha256, None) for path, (sha256, _) in first.baseline.verdicts.items()}
    )
    again = replace(request, provisional=ProvisionalRequest(baseline=marked))
    assert measured(again).baseline == marked
    # Another rule, another model file, and another sample are measured.
    other_rule = BaselineModel(baseline.path, type(PLAIN).single(0.9))
    assert measured(replace(again, baseline=other_rule)).baseline != marked
    assert measured(replace(again, seed=7)).baseline != marked
    write_constant_model(baseline.path, logit=4.0)
    assert measured(again).baseline != marked


@pytest.mark.usefixtures("small_samples")
def test_baseline_that_does_not_load_is_left_out(request_for: Requests, tmp_path: Path) -> None:
    request = request_for(provisional=ProvisionalRequest(), baseline=BaselineModel(tmp_path / "missing.onnx", PLAIN))
    result = measured(request)
    assert result.baseline is None
    check = checked(result)["fpr_baseline", ""]
    assert (check.passed, check.unavailable) == (None, "no_baseline")


class RecordedActivity(Activity):
    """Activity that also records which files were loaded, and calls `reloaded` when a time limit starts again."""

    def __init__(self, path: Path, reloaded: Callable[[], object] = lambda: None) -> None:
        super().__init__(path)
        self.loaded: list[str] = []
        self._reloaded = reloaded

    def during(self, phase: Phase, *files: str) -> _GeneratorContextManager[None]:
        if phase == "load" and files:
            if files[0] in self.loaded:
                self._reloaded()
            self.loaded.extend(files)
        return super().during(phase, *files)


@pytest.mark.usefixtures("small_samples")
def test_baseline_file_that_is_replaced_during_the_sample_is_not_mixed_with_the_new_one(
    request_for: Requests, baseline: BaselineModel, tmp_path: Path
) -> None:
    request = request_for(provisional=ProvisionalRequest(), baseline=baseline, threads=1)
    before = measured(request).baseline
    other = write_constant_model(tmp_path / "other.onnx", logit=4.0)
    activity = RecordedActivity(tmp_path / "activity", lambda: shutil.copy(other, baseline.path))
    result = measure_provisional(request, activity)
    assert result is not None
    assert model_sha256(baseline.path) == model_sha256(other)
    # The verdicts are those of the file that was loaded, which the result names.
    assert result.baseline == before
    after = measured(request).baseline
    assert after is not None
    assert after.spec.model_sha256 == model_sha256(other)
    assert before is not None
    assert after.verdicts != before.verdicts


@pytest.mark.usefixtures("small_samples")
def test_time_limit_of_the_baseline_starts_again_with_each_shard(
    request_for: Requests, baseline: BaselineModel, tmp_path: Path
) -> None:
    activity = RecordedActivity(tmp_path / "activity")
    request = request_for(provisional=ProvisionalRequest(), baseline=baseline, threads=1)
    result = measure_provisional(request, activity)
    assert result is not None
    assert result.baseline is not None
    # Once for the file, and again after 16 and all images.
    assert activity.loaded.count(str(baseline.path)) >= 3
    assert read_activity(tmp_path / "activity") == []


@pytest.mark.usefixtures("small_samples")
def test_dataset_without_a_folder_raises(request_for: Requests, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such dataset folder"):
        measure_provisional(request_for(provisional=ProvisionalRequest(), dataset_root=tmp_path / "missing"))


@pytest.mark.usefixtures("small_samples")
def test_worker_writes_the_result_once_and_marks_the_complete_result(request_for: Requests, tmp_path: Path) -> None:
    file = tmp_path / "provisional.json"
    work = Work(request_for(provisional=ProvisionalRequest()), tmp_path / "thumbnails", provisional_file=file)
    assert evaluate_in_worker(work).evaluation.after_provisional
    assert read_provisional(file) is not None
    before = file.stat().st_mtime_ns
    # A worker that was restarted keeps it, and so does a run that was interrupted after the publication.
    assert evaluate_in_worker(work).evaluation.after_provisional
    assert file.stat().st_mtime_ns == before
    file.unlink()
    published = replace(work, request=replace(work.request, provisional=ProvisionalRequest(is_published=True)))
    assert evaluate_in_worker(published).evaluation.after_provisional
    assert not file.exists()
    # With a result, all images are evaluated in one phase if they fit into ten seconds.
    one_phase = replace(work, request=replace(work.request, provisional=ProvisionalRequest(has_result=True)))
    assert not evaluate_in_worker(one_phase).evaluation.after_provisional
    assert not file.exists()


@pytest.mark.usefixtures("small_samples")
def test_size_of_the_sample_follows_from_the_rate_of_its_first_images(
    request_for: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_for(provisional=ProvisionalRequest())
    monkeypatch.setattr(sample, "SAMPLE_IMAGES", 60)
    assert measured(request).sample_size == 60
    # So slow that only the minimum fits.
    monkeypatch.setattr(sample, "FIRST_SECONDS", 1e-6)
    result = measured(request)
    assert result.sample_size == 30
    listing = list_dataset(request).labelled
    assert [one.path for one in result.predictions] == [
        one.path for one in sample.sample_files(listing, images=30, seed=result.seed)
    ]


@pytest.mark.usefixtures("small_samples")
def test_failure_to_hand_over_the_sample_costs_only_the_provisional_result(
    request_for: Requests, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    damaged = tmp_path / "provisional.json"
    damaged.write_text("{")
    for file in (tmp_path / "file" / "provisional.json", damaged):
        work = Work(request_for(provisional=ProvisionalRequest()), tmp_path / "thumbnails", provisional_file=file)
        result = evaluate_in_worker(work)
        assert len(result.predictions) == result.evaluation.images
        assert not result.evaluation.after_provisional
    failure = read_provisional(damaged)
    assert isinstance(failure, ProvisionalFailure)
    assert "provisional.json: provisional result is not valid" in failure.reason
    # A worker that was restarted does not try again.
    assert not evaluate_in_worker(work).evaluation.after_provisional
    assert read_provisional(damaged) == failure


def test_file_holds_every_field(tmp_path: Path) -> None:
    file, result = tmp_path / "provisional.json", provisional_result(missed=3)
    assert read_provisional(file) is None
    write_provisional(file, result)
    assert read_provisional(file) == result
    file.write_text(file.read_text()[:-10])
    with pytest.raises(StorageError, match=r"provisional\.json: provisional result is not valid"):
        read_provisional(file)


def test_checks_are_tested_on_pairs_at_their_share_of_the_level() -> None:
    # Of 100 detected by the baseline, 11 missed: 2^-11 = 0.00049, which Holm multiplies by the number of hypotheses.
    results = {
        missed: checked(provisional_result(missed=missed))["detection_baseline", "alpha"] for missed in (4, 11, 14)
    }
    assert results[4].passed
    assert (results[11].conclusion, results[11].paired) == ("fail (not significant)", True)
    assert results[11].p_value is not None
    assert 0.002 < results[11].p_value < 0.01
    assert results[14].conclusion == "fail (significant)"
    assert results[14].p_value is not None
    assert results[14].p_value <= 0.002


def test_lists_misclassified_images_of_the_sample() -> None:
    sample_of_three = check_sample(provisional_result(missed=3), DEFAULT_LIMITS, baseline="v3")
    assert [one.path for one in sample_of_three.misclassified()] == ["stego/0.png", "stego/1.png", "stego/2.png"]
    assert sample_of_three.images == 302
    assert sample_of_three.significant == ()


def test_same_model_as_the_baseline_passes_conclusively() -> None:
    result = provisional_result()
    assert result.baseline is not None
    same = replace(result, baseline=replace(result.baseline, spec=result.spec))
    assert checked(same)["fpr_baseline", ""].conclusion == "pass"
    assert checked(result)["fpr_target", ""].conclusion == "pass (inconclusive)"

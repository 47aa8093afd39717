"""Batches of the full model: the same verdicts as one image per call, whatever their size."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import pytest

from starlight_exporter.detector import batched
from starlight_exporter.detector.batched import BATCHES, BatchedModel, fastest_batch, full_model
from starlight_exporter.detector.compact import CompactImage
from starlight_exporter.detector.decision import PLAIN, DecisionRule
from starlight_exporter.detector.model import Detector, Score
from starlight_exporter.detector.staged import FullModel, Scorer
from starlight_exporter.errors import ImageError
from starlight_exporter.evaluation.scorers import synthetic_images
from support.models import write_nan_for_alpha_model, write_random_model
from support.staged import disturbed

IMAGES: tuple[CompactImage, ...] = (*synthetic_images(), *synthetic_images(), synthetic_images()[1])


@pytest.fixture
def detector(tmp_path: Path) -> Detector:
    return Detector.load(write_random_model(tmp_path / "model.onnx", streams=("pixel", "lsb", "alpha")))


def probabilities(scores: list[Score | ImageError]) -> list[float]:
    assert all(isinstance(score, Score) for score in scores)
    return [score.probability for score in scores if isinstance(score, Score)]


def test_scores_equal_those_of_the_full_model(detector: Detector) -> None:
    expected = probabilities(FullModel(detector).score(IMAGES))
    for batch in (2, 4, 16):
        assert probabilities(BatchedModel(detector, PLAIN, batch=batch).score(IMAGES)) == pytest.approx(expected)


def test_scores_do_not_depend_on_the_grouping(detector: Detector) -> None:
    model = BatchedModel(detector, PLAIN, batch=4)
    one_by_one = [score for image in IMAGES for score in probabilities(model.score([image]))]
    assert probabilities(model.score(IMAGES)) == one_by_one


def test_images_close_to_the_threshold_are_scored_one_by_one(detector: Detector) -> None:
    full = FullModel(detector).score(IMAGES)
    rule = DecisionRule.single(probabilities(full)[0])
    model = BatchedModel(detector, rule, batch=4)
    with patch.object(model, "outputs", disturbed(model.outputs, 1e-6, seed=0)):
        scores = model.score(IMAGES)
    for found, expected in zip(scores, full, strict=True):
        assert isinstance(found, Score)
        assert isinstance(expected, Score)
        verdicts = (rule.verdict(one.probability, one.predicted) for one in (found, expected))
        assert len(set(verdicts)) == 1
    assert probabilities(scores)[0] == probabilities(full)[0]


def test_image_on_which_the_model_fails_does_not_fail_its_batch(tmp_path: Path) -> None:
    detector = Detector.load(write_nan_for_alpha_model(tmp_path / "model.onnx"))
    zeros, noise = synthetic_images()
    scores = BatchedModel(detector, PLAIN, batch=4).score([zeros, noise, zeros])
    assert [isinstance(score, ImageError) for score in scores] == [False, True, False]


def seconds_per_call(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    """Replace the measured times by these, by batch size; the others take 1 s."""

    def measured(model: Scorer, _samples: object) -> float:
        return seconds.get(f"batch_{getattr(model, 'batch', 1)}", 1.0)

    monkeypatch.setattr(batched, "_seconds", measured)


def test_batch_size_is_the_fastest(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds_per_call(monkeypatch, batch_4=0.5, batch_8=0.3, batch_16=0.4)
    assert fastest_batch(detector, PLAIN, IMAGES) == 8


def test_larger_batches_need_a_clear_gain(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds_per_call(monkeypatch, batch_16=0.95)
    assert fastest_batch(detector, PLAIN, IMAGES) == 1


def test_batches_with_other_results_are_not_used(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds_per_call(monkeypatch, batch_2=0.1, batch_4=0.1, batch_8=0.1, batch_16=0.1)
    monkeypatch.setattr(batched, "difference", lambda _detector, _samples, _outputs: "output differs")
    assert fastest_batch(detector, PLAIN, IMAGES) == 1


def test_measures_real_times(detector: Detector) -> None:
    batch = fastest_batch(detector, PLAIN, IMAGES)
    assert batch in (1, *BATCHES)
    assert isinstance(full_model(detector, PLAIN, 1), FullModel)

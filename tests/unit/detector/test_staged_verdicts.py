"""Verdicts and predicted methods of the staged model are identical to those of the full model, at every threshold."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final
from unittest.mock import patch

import numpy as np
import onnx
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from starlight_exporter.detector.agreement import LOG_ODDS_TOLERANCE, RESCORING_DISTANCE
from starlight_exporter.detector.compact import CompactImage, compact
from starlight_exporter.detector.contract import METHODS, Method
from starlight_exporter.detector.decision import PLAIN, DecisionRule
from starlight_exporter.detector.decoding import decode
from starlight_exporter.detector.graph_cut import NoCut
from starlight_exporter.detector.model import Detector, Score
from starlight_exporter.detector.staged import FullModel, StagedModel, stage
from starlight_exporter.errors import ImageError
from starlight_exporter.evaluation.scorers import synthetic_images
from support.graphs import random_models, save
from support.images import compact_images, image_bytes
from support.models import write_random_model
from support.run_cache import RunCache
from support.staged import LAST_BITS, disturbed, raise_staged_log_odds

MODELS: Final = Path(__file__).resolve().parents[3] / "models"
MODES: Final = (("png", "RGB"), ("png", "RGBA"), ("gif", "P"), ("jpeg", "RGB"), ("bmp", "L"))
IMAGES: Final = 12
NEAR: Final[Sequence[Callable[[float], float]]] = (
    lambda probability: probability,
    lambda probability: math.nextafter(probability, 1.0),
    lambda probability: math.nextafter(probability, 0.0),
    lambda probability: min(1.0, probability + 5e-8),
    lambda probability: max(0.0, probability - 5e-8),
    lambda probability: min(1.0, probability + 1e-6),
    lambda probability: max(0.0, probability - 1e-6),
)
"""Thresholds exactly on, just above and just below a probability."""


@lru_cache(maxsize=1)
def images() -> tuple[CompactImage, ...]:
    """Return IMAGES images of all modes, the first two synthetic."""
    files = []
    for seed in range(IMAGES - 2):
        image_format, mode = MODES[seed % len(MODES)]
        files.append(image_bytes(seed, image_format, mode=mode, size=(256, 200)))
    return (*synthetic_images(), *(compact(decode(data)) for data in files))


def measured(scores: Sequence[Score | ImageError]) -> list[Score]:
    found = [score for score in scores if isinstance(score, Score)]
    assert len(found) == len(scores)
    return found


def decisions(rule: DecisionRule, scores: Sequence[Score | ImageError]) -> list[tuple[bool, Method | None]]:
    return [(rule.verdict(score.probability, score.predicted), score.predicted) for score in measured(scores)]


def rule_per_method(thresholds: Sequence[tuple[Method | None, float]]) -> DecisionRule:
    """Return a rule with the last threshold of each method, and 0.5 for other methods."""
    return DecisionRule.per_method(dict.fromkeys(METHODS, 0.5) | {method: at for method, at in thresholds if method})


@dataclass(frozen=True)
class Case:
    """A model, a rule by the full model's probabilities, and a difference of the log-odds of the staged model."""

    model: onnx.ModelProto
    order: Sequence[int]
    near: Sequence[Callable[[float], float]]
    per_method: bool
    difference: float
    seed: int

    def rule(self, full: Sequence[Score]) -> DecisionRule:
        """Return a rule whose thresholds are on or near the probabilities of some images."""
        thresholds = [
            (full[index].predicted, place(full[index].probability))
            for index, place in zip(self.order, self.near, strict=True)
        ]
        return rule_per_method(thresholds) if self.per_method else DecisionRule.single(thresholds[0][1])


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Generate cases; in half of the models, two methods have almost the same probability on every image."""
    model = draw(random_models())
    if draw(st.booleans()):
        first, second = draw(st.permutations(range(len(METHODS))))[:2]
        (head,) = (node for node in model.graph.node if "method_logits" in node.output)
        (weights,) = (entry for entry in model.graph.initializer if entry.name == head.input[1])
        values = numpy_helper.to_array(weights).copy()
        values[second] = values[first] * np.float32(1.0 + draw(st.sampled_from((0.0, 1e-7, -1e-7, 1e-6, -1e-6))))
        weights.CopyFrom(numpy_helper.from_array(values, weights.name))
    return Case(
        model=model,
        order=draw(st.permutations(range(IMAGES))),
        near=draw(st.lists(st.sampled_from(NEAR), min_size=IMAGES, max_size=IMAGES)),
        per_method=draw(st.booleans()),
        difference=draw(st.sampled_from((0.0, LAST_BITS, LOG_ODDS_TOLERANCE))),
        seed=draw(st.integers(0, 2**31)),
    )


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_random_staged_models_have_the_verdicts_of_the_full_model(
    case: Case, tmp_path_factory: pytest.TempPathFactory
) -> None:
    detector = Detector.load(save(case.model, tmp_path_factory.mktemp("graph") / "model.onnx"))
    full = measured(FullModel(detector).score(images()))
    rule = case.rule(full)
    staged = stage(detector, images()[:3], rule)
    if isinstance(staged, NoCut):
        event(f"full model: {staged.reason[:40]}")
        assert "differs" not in staged.reason
        return
    event("staged")
    with patch.object(staged, "outputs", disturbed(staged.outputs, case.difference, seed=case.seed)):
        assert decisions(rule, staged.score(images())) == decisions(rule, full)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["v3", "v4"])
def test_reference_models_have_the_verdicts_of_the_full_model(name: str, run_cache: RunCache) -> None:
    root = run_cache.synthetic(seed=31, clean=24, stego=20, negatives=5)
    chosen = compact_images(root)
    detector = Detector.load(MODELS / name / "model.onnx")
    full = measured(FullModel(detector).score(chosen))
    plain = stage(detector, synthetic_images(), PLAIN)
    assert isinstance(plain, StagedModel)
    errors = [
        abs(ours.probability - theirs.probability)
        for ours, theirs in zip(measured(plain.score(chosen)), full, strict=True)
    ]
    # The thresholds are probabilities of the images with the largest rounding errors.
    at = [full[index] for index in sorted(range(len(full)), key=lambda index: errors[index])][-10:]
    for place in NEAR:
        rule = rule_per_method([(score.predicted, place(score.probability)) for score in at])
        staged = stage(detector, synthetic_images(), rule)
        assert isinstance(staged, StagedModel)
        assert decisions(rule, staged.score(chosen)) == decisions(rule, full)
        with patch.object(staged, "outputs", disturbed(staged.outputs, LOG_ODDS_TOLERANCE, seed=0)):
            assert decisions(rule, staged.score(chosen)) == decisions(rule, full)


def two_streams(tmp_path: Path) -> Detector:
    return Detector.load(write_random_model(tmp_path / "model.onnx", streams=("pixel", "lsb")))


def test_full_model_scores_only_images_close_to_a_decision(tmp_path: Path) -> None:
    detector = two_streams(tmp_path)
    full = measured(FullModel(detector).score(images()))
    rule = DecisionRule.single(full[3].probability)
    staged = stage(detector, images()[:3], rule)
    assert isinstance(staged, StagedModel)
    with patch.object(detector, "predict", wraps=detector.predict) as predict:
        scores = measured(staged.score(images()))
    close = [abs(score.probability - full[3].probability) <= RESCORING_DISTANCE for score in full]
    assert predict.call_count == sum(close)
    assert 1 <= predict.call_count < IMAGES
    assert scores[3] == full[3]


def test_full_model_scores_images_on_which_the_staged_model_fails(tmp_path: Path) -> None:
    detector = two_streams(tmp_path)
    staged = stage(detector, images()[:3], PLAIN)
    assert isinstance(staged, StagedModel)
    failure = ImageError("no memory", reason="model_error")
    with patch.object(staged, "outputs", lambda chosen: [failure for _ in chosen]):
        assert staged.score(images()) == FullModel(detector).score(images())


@pytest.mark.parametrize(("tolerances", "accepted"), [(0.9, True), (1.1, False)])
def test_rejects_log_odds_beyond_the_tolerance(
    tolerances: float, accepted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_staged_log_odds(monkeypatch, tolerances * LOG_ODDS_TOLERANCE)
    staged = stage(two_streams(tmp_path), synthetic_images(), PLAIN)
    assert isinstance(staged, StagedModel) == accepted
    if isinstance(staged, NoCut):
        assert staged.reason == "run in stages, output stego_logits differs on sample 0"


def test_tolerance_in_probability_is_smaller_than_the_rescoring_distance() -> None:
    logits = np.linspace(-60.0, 60.0, 100_001)
    shifted = logits + LOG_ODDS_TOLERANCE * np.maximum(1.0, np.abs(logits))
    largest = np.abs(1.0 / (1.0 + np.exp(-shifted)) - 1.0 / (1.0 + np.exp(-logits))).max()
    assert largest < 2.1e-6 < RESCORING_DISTANCE


def test_model_that_reports_only_a_method_id_is_not_staged(tmp_path: Path) -> None:
    path = write_random_model(tmp_path / "model.onnx", streams=("pixel", "lsb"))
    model = onnx.load(str(path))
    model.graph.node.append(helper.make_node("ArgMax", ["method_logits"], ["method_id"], axis=1, keepdims=0))
    (methods,) = (output for output in model.graph.output if output.name == "method_logits")
    methods.CopyFrom(helper.make_tensor_value_info("method_id", TensorProto.INT64, ["batch"]))
    detector = Detector.load(save(model, path))
    assert isinstance(FullModel(detector).score(images())[0], Score)
    assert stage(detector, images()[:3], PLAIN) == NoCut(
        "the model reports the method only as an id, so close methods cannot be detected"
    )

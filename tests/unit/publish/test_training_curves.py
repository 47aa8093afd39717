"""Samples of training curves: complete for short logs, thinned for long ones."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from starlight_exporter.models.training_log import TrainingEpoch, training_health
from starlight_exporter.publish.families.family import MetricSample
from starlight_exporter.publish.families.training import (
    CURVE_EPOCHS,
    TRAINING_EPOCH_ACCURACY,
    TRAINING_EPOCH_LOSS,
    curve_epochs,
    evaluation_samples,
)
from support.snapshots import full_evaluation


def epochs(count: int) -> list[TrainingEpoch]:
    return [TrainingEpoch(number, 1 / number, 2 / number, None, 0.9) for number in range(1, count + 1)]


def curve_samples(count: int) -> list[MetricSample]:
    result = replace(full_evaluation(), training=training_health(epochs(count)))
    curves = (TRAINING_EPOCH_LOSS, TRAINING_EPOCH_ACCURACY)
    return [sample for sample in evaluation_samples(result) if sample.family in curves]


def test_short_log_has_every_epoch_and_no_sample_for_missing_values() -> None:
    assert {(sample.family.name, *sample.labels): sample.value for sample in curve_samples(2)} == {
        ("starlight_training_epoch_loss", "production", "train", "1"): 1.0,
        ("starlight_training_epoch_loss", "production", "validation", "1"): 2.0,
        ("starlight_training_epoch_accuracy", "production", "validation", "1"): 0.9,
        ("starlight_training_epoch_loss", "production", "train", "2"): 0.5,
        ("starlight_training_epoch_loss", "production", "validation", "2"): 1.0,
        ("starlight_training_epoch_accuracy", "production", "validation", "2"): 0.9,
    }


@pytest.mark.slow
def test_long_log_is_thinned_evenly_and_keeps_first_and_last_epoch() -> None:
    for count in (CURVE_EPOCHS, CURVE_EPOCHS + 1, 1_000, 99_999):
        kept = [one.epoch for one in curve_epochs(epochs(count))]
        assert (len(kept), kept[0], kept[-1]) == (CURVE_EPOCHS, 1, count)
        steps = {b - a for a, b in itertools.pairwise(kept)}
        assert max(steps) - min(steps) <= 1
    assert len(curve_samples(1_000)) == 3 * CURVE_EPOCHS

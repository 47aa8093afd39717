"""Training curves by epoch: complete where the log is short, thinned where it is long, and never many series."""

from __future__ import annotations

import itertools
from dataclasses import replace

from starlight_exporter.models.training_log import TrainingEpoch, training_health
from starlight_exporter.publish.metrics import CURVE_EPOCHS, TRAINING_EPOCH_ACCURACY, TRAINING_EPOCH_LOSS
from starlight_exporter.publish.series import Row, curve_epochs, training_rows
from support.snapshots import full_evaluation


def epochs(count: int) -> list[TrainingEpoch]:
    return [TrainingEpoch(number, 1 / number, 2 / number, None, 0.9) for number in range(1, count + 1)]


def rows(count: int) -> list[Row]:
    result = replace(full_evaluation(), training=training_health(epochs(count)))
    return [row for row in training_rows(result) if row.family in (TRAINING_EPOCH_LOSS, TRAINING_EPOCH_ACCURACY)]


def test_every_epoch_of_a_short_log_is_there_and_what_it_lacks_is_not() -> None:
    assert {(row.family.name, *row.labels): row.value for row in rows(2)} == {
        ("starlight_training_epoch_loss", "production", "train", "1"): 1.0,
        ("starlight_training_epoch_loss", "production", "validation", "1"): 2.0,
        ("starlight_training_epoch_accuracy", "production", "validation", "1"): 0.9,
        ("starlight_training_epoch_loss", "production", "train", "2"): 0.5,
        ("starlight_training_epoch_loss", "production", "validation", "2"): 1.0,
        ("starlight_training_epoch_accuracy", "production", "validation", "2"): 0.9,
    }


def test_a_long_log_is_thinned_evenly_with_its_first_and_last_epoch() -> None:
    for count in (CURVE_EPOCHS, CURVE_EPOCHS + 1, 1_000, 99_999):
        kept = [one.epoch for one in curve_epochs(epochs(count))]
        assert (len(kept), kept[0], kept[-1]) == (CURVE_EPOCHS, 1, count)
        steps = {b - a for a, b in itertools.pairwise(kept)}
        assert max(steps) - min(steps) <= 1
    assert len(rows(1_000)) == 3 * CURVE_EPOCHS

"""Training logs: metrics of healthy, noisy and diverged curves, and invalid logs."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from starlight_exporter.errors import StorageError
from starlight_exporter.models.training_log import convergence_rate, has_diverged, read_training_log, stability_ratio


def write_log(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def epoch(number: int, train: float, validation: float, **more: object) -> dict[str, object]:
    return {"epoch": number, "train_loss": train, "validation_loss": validation, **more}


def test_reads_every_epoch(tmp_path: Path) -> None:
    log = write_log(
        tmp_path / "log.jsonl",
        epoch(1, 0.8, 0.75, train_accuracy=0.6, validation_accuracy=0.65, learning_rate=0.001),
        "",
        epoch(2, 0.4, 0.5, train_accuracy=None),
    )
    health = read_training_log(log)
    assert [entry.epoch for entry in health.epochs] == [1, 2]
    assert (health.epochs[0].train_accuracy, health.epochs[0].validation_accuracy) == (0.6, 0.65)
    assert (health.epochs[1].train_accuracy, health.epochs[1].validation_accuracy) == (None, None)
    assert health.convergence_rate == pytest.approx(0.5)
    assert health.generalization_gap == pytest.approx(0.1)
    assert health.stability_ratio is None
    assert not health.diverged


def test_one_epoch_has_no_convergence_rate_or_stability(tmp_path: Path) -> None:
    health = read_training_log(write_log(tmp_path / "log.jsonl", epoch(0, 0.5, 0.6)))
    assert health.convergence_rate is None
    assert health.stability_ratio is None
    assert health.generalization_gap == pytest.approx(0.1)


@pytest.mark.parametrize("rate", [0.01, 0.3, 0.9, -0.5])
def test_convergence_rate_of_a_geometric_curve(rate: float) -> None:
    assert convergence_rate([2.0 * (1 - rate) ** step for step in range(12)]) == pytest.approx(rate)


def test_convergence_rate_is_finite_for_a_loss_of_zero() -> None:
    rate = convergence_rate([1.0, 0.5, 0.0])
    assert rate is not None
    assert 0 < rate < 1


def test_stability_is_one_if_monotonic_and_small_if_oscillating() -> None:
    assert stability_ratio([0.9, 0.5, 0.3, 0.2]) == 1.0
    assert stability_ratio([0.5, 0.5, 0.5]) == 1.0
    assert stability_ratio([1.0, 2.0, 1.0]) == 0.0
    assert stability_ratio([1.0, 0.5, 0.75, 0.25]) == pytest.approx(0.75 / 1.25)


@pytest.mark.parametrize(
    ("losses", "diverged"),
    [([], False), ([0.5], False), ([0.9, 0.2, 0.35], False), ([0.3, 0.2, 0.41], True), ([0.9, 0.2, 0.5], False)],
)
def test_diverged_if_last_loss_exceeds_twice_the_best_and_the_first(losses: list[float], diverged: bool) -> None:
    assert has_diverged(losses) is diverged


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_diverged_if_a_loss_is_not_finite(tmp_path: Path, broken: float) -> None:
    health = read_training_log(write_log(tmp_path / "log.jsonl", epoch(1, 0.5, 0.5), epoch(2, broken, 0.4)))
    assert health.diverged
    assert health.epochs[1].train_loss is None
    assert health.generalization_gap is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "2: not JSON"),
        ("[1]", "2: expected an object"),
        ('{"epoch": 2, "train_loss": 1}', "2: validation_loss is missing"),
        ('{"epoch": "2", "train_loss": 1, "validation_loss": 1}', "2: epoch: expected an integer"),
        ('{"epoch": true, "train_loss": 1, "validation_loss": 1}', "2: epoch: expected an integer"),
        ('{"epoch": 1, "train_loss": 1, "validation_loss": 1}', "2: epoch 1 follows epoch 1"),
        ('{"epoch": 2, "train_loss": "1", "validation_loss": 1}', "2: train_loss: expected a number"),
        ('{"epoch": 2, "train_loss": -1, "validation_loss": 1}', "2: train_loss: expected a loss"),
        ('{"epoch": 2, "train_loss": 1, "validation_loss": 1, "train_accuracy": 97}', "2: train_accuracy: expected"),
        (f'{{"epoch": 2, "train_loss": 1{"0" * 400}, "validation_loss": 1}}', "2: train_loss: too large"),
        (f'{{"epoch": 2, "other": [{"[]," * 350_000}0]}}', "2: longer than 1048576 characters"),
    ],
)
def test_error_names_invalid_line(tmp_path: Path, line: str, message: str) -> None:
    log = write_log(tmp_path / "log.jsonl", epoch(1, 0.5, 0.5), line)
    with pytest.raises(StorageError) as error:
        read_training_log(log)
    assert str(error.value).startswith(f"{log}:{message}")


def test_error_names_missing_empty_or_binary_log(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"gone\.jsonl: no such training log"):
        read_training_log(tmp_path / "gone.jsonl")
    with pytest.raises(StorageError, match="has no epoch"):
        read_training_log(write_log(tmp_path / "empty.jsonl"))
    with pytest.raises(StorageError, match="cannot be read"):
        read_training_log(tmp_path)
    (tmp_path / "binary.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StorageError, match="not UTF-8"):
        read_training_log(tmp_path / "binary.jsonl")

"""Bounded attacks through files: images, model files, the disk for results."""

from __future__ import annotations

from pathlib import Path

import pytest

from attacks import full_disk, hostile_images, swaps

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(900)]


def test_every_mutated_image_is_counted_once_within_the_limits(tmp_path: Path) -> None:
    outcome = hostile_images.attack(tmp_path, 300, timeout=240.0)
    assert not outcome.failed


def test_swapped_models_are_evaluated_under_their_hash_in_ten_ways(tmp_path: Path) -> None:
    outcome = swaps.attack(tmp_path, 1)
    assert not outcome.failed


def test_results_of_a_full_disk_are_written_when_there_is_space(tmp_path: Path) -> None:
    outcome = full_disk.attack(tmp_path, 3)
    assert not outcome.failed

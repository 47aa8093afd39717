"""Bounded attacks on processes and clocks: kills, hostile models, clock steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from attacks import bad_models, clock_steps, kills

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(900)]


def test_killed_exporter_loses_no_result_and_leaves_nothing(tmp_path: Path) -> None:
    outcome = kills.attack(tmp_path, 8)
    assert not outcome.failed


def test_hostile_research_models_do_not_delay_production(tmp_path: Path) -> None:
    outcome = bad_models.attack(tmp_path, ("endless", "memory"))
    assert not outcome.failed


def test_clock_steps_do_not_stop_the_exporter(tmp_path: Path) -> None:
    outcome = clock_steps.attack(tmp_path, ("-1 h", "+1 year"))
    assert not outcome.failed

"""The time a run is said to take from here is at the pace that it had since its first image."""

from __future__ import annotations

import pytest

from starlight_exporter.runs.pace import Pace


def test_a_steady_run_is_foretold_exactly() -> None:
    pace = Pace()
    # Ten seconds of loading and scanning are no part of the pace.
    assert pace.remaining(0.0, 10.0) is None
    assert pace.remaining(0.1, 20.0) is None
    assert pace.remaining(0.1, 21.0) is None
    assert pace.remaining(0.2, 22.0) == pytest.approx(16.0)
    assert pace.remaining(0.6, 30.0) == pytest.approx(8.0)
    assert pace.remaining(1.0, 38.0) == 0.0


def test_a_run_that_slows_down_is_foretold_longer() -> None:
    pace = Pace()
    pace.remaining(0.1, 0.0)
    before, after = pace.remaining(0.5, 4.0), pace.remaining(0.6, 9.0)
    assert before is not None
    assert after is not None
    assert after > before

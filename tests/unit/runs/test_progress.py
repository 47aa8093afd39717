"""Progress of a run, and the estimated time left."""

from __future__ import annotations

from pathlib import Path

import pytest

from starlight_exporter.runs.progress import RunProgress, TimeLeft, read_progress


def test_time_left_of_a_steady_run_is_exact() -> None:
    time_left = TimeLeft()
    # The first ten seconds, for loading and scanning, are not part of the pace.
    assert time_left.estimate(0.0, 10.0) is None
    assert time_left.estimate(0.1, 20.0) is None
    assert time_left.estimate(0.1, 21.0) is None
    assert time_left.estimate(0.2, 22.0) == pytest.approx(16.0)
    assert time_left.estimate(0.6, 30.0) == pytest.approx(8.0)
    assert time_left.estimate(1.0, 38.0) == 0.0


def test_time_left_grows_when_a_run_slows_down() -> None:
    time_left = TimeLeft()
    time_left.estimate(0.1, 0.0)
    before, after = time_left.estimate(0.5, 4.0), time_left.estimate(0.6, 9.0)
    assert before is not None
    assert after is not None
    assert after > before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"done": 1}', '{"done": 1, "total": 0}', '{"done": "x", "total": 2}'])
def test_unreadable_progress_is_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "progress.json"
    assert read_progress(file) is None
    file.write_text(text)
    assert read_progress(file) is None


def test_progress_is_the_completed_share(tmp_path: Path) -> None:
    file = tmp_path / "progress.json"
    file.write_text('{"done": 30, "total": 40}')
    assert read_progress(file) == RunProgress(0.75, None)
    file.write_text('{"done": 30, "total": 40, "listing": "00ff"}')
    assert read_progress(file) == RunProgress(0.75, "00ff")

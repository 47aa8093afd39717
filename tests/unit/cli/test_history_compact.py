"""`starlight history compact`: prints what is removed, and removes it only without --dry-run."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from starlight_exporter.cli import main as starlight
from starlight_exporter.evaluation.serialisation import to_json
from starlight_exporter.publish.history import History
from support.snapshots import FINISHED_AT, full_evaluation

DAY = 86_400
START = FINISHED_AT // DAY * DAY - 365 * DAY


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "starlight.yml"
    file.write_text(
        "models: [{name: production, file: m.onnx, role: production}]\ndatasets: [{name: reference, path: images}]\n"
    )
    (tmp_path / "data").mkdir()
    old = [full_evaluation(evaluation_id=f"old-{number}", finished_at=START + number) for number in range(3)]
    records = [*old, full_evaluation(evaluation_id="new", finished_at=START + 100 * DAY)]
    (tmp_path / "data" / "history.jsonl").write_text("".join(to_json(one) + "\n" for one in records))
    return file


def compact(config: Path, *arguments: str) -> int:
    return starlight.main(["history", "compact", "--config.file", str(config), *arguments])


def test_dry_run_prints_what_would_be_removed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    history = config.parent / "data" / "history.jsonl"
    before = history.read_bytes()
    assert compact(config, "--older-than", "30d", "--trust-dates", "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "production on reference: 2"
    assert lines[1].startswith("2 results (")
    assert lines[1].endswith(" would be removed")
    assert history.read_bytes() == before
    assert [file.name for file in history.parent.iterdir()] == [history.name]


def test_removes_with_the_configured_age(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(config.read_text() + "history: {compact_after: 30d}\n")
    assert compact(config, "--trust-dates") == 0
    assert capsys.readouterr().out.splitlines()[1].endswith(" UTC removed")
    assert [one.id for one in History(config.parent / "data" / "history.jsonl").evaluations()] == ["old-0", "new"]


def test_results_without_confirmed_age_are_kept(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compact(config, "--older-than", "30d") == 0
    removed, kept = capsys.readouterr().out.splitlines()
    assert removed.startswith("0 results (0 bytes) from before ")
    assert kept == (
        "2 older by their dates are kept: a wrong system clock is possible: the uptime of the machine confirms only"
        " 0 s; see --trust-dates"
    )
    assert len(list(History(config.parent / "data" / "history.jsonl").evaluations())) == 4


def test_results_with_dates_in_the_future_are_reported(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert compact(config, "--older-than", "30d", "--trust-dates", "--dry-run") == 0
    removed, kept = capsys.readouterr().out.splitlines()
    assert removed.startswith("0 results (0 bytes) from before ")
    assert kept == (
        "4 with dates in the future are kept: the system clock was ahead when they were stored, or is behind now"
    )


def test_running_exporter_is_an_error(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    writer = History(config.parent / "data" / "history.jsonl")
    writer.open()
    assert compact(config, "--older-than", "30d") == 2
    assert "history.jsonl: another process is writing this history" in capsys.readouterr().err
    writer.close()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "history.compact_after: not configured; pass --older-than"),
        (("--older-than", "12h"), "expected at least 1d, got 12h"),
        (("--older-than", "90"), "expected a duration such as 30s, 15m or 1h30m, got 90"),
    ],
)
def test_rejects_a_missing_or_short_age(
    config: Path, arguments: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compact(config, *arguments) == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
def test_missing_history_is_an_error_and_not_created(
    config: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    history = config.parent / "data" / "history.jsonl"
    history.unlink()
    assert compact(config, "--older-than", "30d", *arguments) == 2
    assert f"{history}: no such history" in capsys.readouterr().err
    assert list(history.parent.iterdir()) == []

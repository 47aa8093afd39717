"""Progress of commands: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys

import pytest

from starlight_exporter.cli.console import LINE_SECONDS, ProgressLines, no_progress, progress_bar


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_lines_are_printed_at_intervals_and_at_the_end() -> None:
    clock, stream = Clock(), io.StringIO()
    lines = ProgressLines("v4 on reference", stream, clock=clock)
    for done in range(0, 2_001, 100):
        clock.seconds = done / 800 * LINE_SECONDS
        lines.report(done, 2_000)
    lines.report(2_000, 2_000)
    assert stream.getvalue().splitlines() == [
        "v4 on reference: 800 of 2,000 (40%)",
        "v4 on reference: 1,600 of 2,000 (80%)",
        "v4 on reference: 2,000 of 2,000 (100%)",
    ]


def test_unknown_total_is_not_complete() -> None:
    stream = io.StringIO()
    ProgressLines("scan", stream, clock=Clock()).report(0, 0)
    assert stream.getvalue() == ""


def test_output_that_is_not_a_terminal_gets_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("v4 on reference") as progress:
        progress(5, 5)
    assert capsys.readouterr() == ("", "v4 on reference: 5 of 5 (100%)\n")


def test_terminal_gets_a_bar() -> None:
    code = "from starlight_exporter.cli.console import progress_bar as p\nwith p('v4') as progress: progress(5, 5)"
    primary, terminal = pty.openpty()
    with os.fdopen(primary, "rb", buffering=0) as screen:
        variables = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
        done = subprocess.run([sys.executable, "-c", code], stderr=terminal, env=variables, check=True)
        os.close(terminal)
        text = screen.read(10_000).decode()
    assert done.returncode == 0
    assert "━" in text
    assert "5/5" in text
    assert "5 of 5" not in text


def test_no_progress_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with no_progress("v4 on reference") as progress:
        progress(5, 5)
    assert capsys.readouterr() == ("", "")

"""Terminal output: a console that reports closed pipes, and progress as a bar or as lines."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NoReturn, TextIO

import rich.console
import rich.progress
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from starlight_exporter.evaluation.progress import Progress

LINE_SECONDS: Final = 10.0
"""Between two lines of progress."""


class Console(rich.console.Console):
    """A console that raises BrokenPipeError; Rich itself exits with code 1, which means a failed check."""

    def on_broken_pipe(self) -> NoReturn:
        """Raise the BrokenPipeError that is being handled."""
        self.quiet = True
        raise BrokenPipeError


def new_bar(console: Console) -> rich.progress.Progress:
    """Return a progress bar that is not displayed yet."""
    return rich.progress.Progress(
        # Without markup: folder names may contain [brackets].
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """Show progress on standard error: a bar on a terminal, otherwise lines; yield a callback.

    The callback takes the completed and total counts.
    """
    if not _has_terminal():
        yield ProgressLines(title, sys.stderr).report
        return
    with new_bar(Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def step_bar() -> Iterator[Callable[[str, int, int], None]]:
    """As `progress_bar` for several steps; yield a callback that takes the step and its counts."""
    if not _has_terminal():
        lines: dict[str, ProgressLines] = {}
        yield lambda step, done, total: lines.setdefault(step, ProgressLines(step, sys.stderr)).report(done, total)
        return
    with new_bar(Console(stderr=True)) as bar:
        tasks: dict[str, TaskID] = {}

        def update(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bar.add_task(step, total=total)
            bar.update(tasks[step], completed=done, total=total)

        yield update


@contextmanager
def no_progress(title: str) -> Iterator[Progress]:  # noqa: ARG001  # the signature of progress_bar
    """Show nothing."""
    yield lambda done, total: None  # noqa: ARG005


class ProgressLines:
    """Prints a line when the run is complete, and before that at most every LINE_SECONDS, for logs of CI systems."""

    def __init__(self, title: str, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._title, self._stream, self._clock = title, stream, clock
        self._printed_at = clock()
        self._completed = False

    def report(self, done: int, total: int) -> None:
        """Print the counts, unless the last line is recent. Threads may call this concurrently."""
        now = self._clock()
        completed = done >= total > 0
        if self._completed or (not completed and now - self._printed_at < LINE_SECONDS):
            return
        self._printed_at, self._completed = now, completed
        share = f" ({done / total:.0%})" if total else ""
        print(f"{self._title}: {done:,} of {total:,}{share}", file=self._stream, flush=True)


def _has_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"

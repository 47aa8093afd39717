"""Terminal output: a console that reports closed pipes, and progress bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

import rich.console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Console(rich.console.Console):
    """A console that raises BrokenPipeError; Rich itself exits with code 1, which means a failed check."""

    def on_broken_pipe(self) -> NoReturn:
        """Raise the BrokenPipeError that is being handled."""
        self.quiet = True
        raise BrokenPipeError


def new_bar(console: Console) -> Progress:
    """Return a progress bar that is not displayed yet."""
    return Progress(
        # Without markup: folder names may contain [brackets].
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Display a progress bar on standard error; yield a callback that takes the completed and total counts."""
    with new_bar(Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)

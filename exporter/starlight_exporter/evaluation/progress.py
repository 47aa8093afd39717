"""Progress of a run, for a callback and for a file that another process polls."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from starlight_exporter.errors import StorageError
from starlight_exporter.files import write_text

Progress = Callable[[int, int], None]
"""Called with the number of images done and the total."""

_FILE_SECONDS: Final = 0.5


class ProgressReporter:
    """Report progress to a callback, and to a file at most twice a second.

    The file also has the digest of the listing that is evaluated. A file that cannot be written adds one warning and
    does not fail the run.
    """

    def __init__(self, progress: Progress | None, path: Path | None, *, total: int, listing: str) -> None:
        self._progress = progress
        self._path = path
        self._total = total
        self._listing = listing
        self._written_at = -_FILE_SECONDS
        self.warnings: tuple[str, ...] = ()

    def report(self, done: int) -> None:
        """Report the number of images done."""
        if self._progress is not None:
            self._progress(done, self._total)
        now = time.monotonic()
        if self._path is not None and now - self._written_at >= _FILE_SECONDS:
            self._written_at = now
            self._write(self._path, done)

    def finish(self) -> None:
        """Report the total, which includes timings that were skipped because their images were not measured."""
        if self._progress is not None:
            self._progress(self._total, self._total)
        if self._path is not None:
            self._write(self._path, self._total)

    def _write(self, path: Path, done: int) -> None:
        state = {"done": done, "total": self._total, "listing": self._listing}
        try:
            write_text(path, json.dumps(state))
        except StorageError as error:
            self.warnings = (f"progress: {error}",)
            self._path = None

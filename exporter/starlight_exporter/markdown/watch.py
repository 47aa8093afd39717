"""Keeping a document up to date: once, or again and again until told to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from starlight_exporter.errors import MonitoringError, StarlightError
from starlight_exporter.markdown.document import render
from starlight_exporter.markdown.files import mark_stale, write_document
from starlight_exporter.markdown.reading import read


@dataclass(frozen=True, slots=True)
class Mirror:
    """Where to read and where to write."""

    prometheus: str
    alertmanager: str | None
    output: Path

    def update(self) -> bool:
        """Read and write once; whether the document changed.

        MonitoringError where Prometheus gives no answer: the document then says since when it is stale.
        """
        now = time.time()
        try:
            reading = read(self.prometheus, self.alertmanager, now=now)
        except MonitoringError:
            mark_stale(self.output, since=now, reason=f"Prometheus ({self.prometheus}) gives no answer.")
            raise
        return write_document(self.output, render(reading, stem=self.output.stem, now=now))


def watch(mirror: Mirror, *, every: float, stop: threading.Event, tell: Callable[[str], None]) -> None:
    """Update every so many seconds until `stop` is set; what goes wrong is told once, and again when it changes."""
    told = ""
    while not stop.is_set():
        begun = time.monotonic()
        try:
            changed = mirror.update()
        except StarlightError as error:
            now = str(error)
        else:
            now = ""
            if changed:
                tell(f"{mirror.output} updated")
        if now != told:
            tell(now or "working again")
            told = now
        stop.wait(max(0.0, every - (time.monotonic() - begun)))

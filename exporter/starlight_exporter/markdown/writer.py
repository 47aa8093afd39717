"""Write the document and its charts, once or periodically, and mark them as stale without Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from starlight_exporter.errors import ConfigError, MonitoringError, StarlightError, StorageError
from starlight_exporter.files import is_stream, write_text
from starlight_exporter.formatting import utc
from starlight_exporter.http_client import shown_url
from starlight_exporter.http_client_config import Endpoint
from starlight_exporter.markdown.content import query_content
from starlight_exporter.markdown.document import STALE, UPDATED, Document, render_document


@dataclass(frozen=True, slots=True)
class DashboardWriter:
    """The markdown dashboard at `output`, written from two servers."""

    prometheus: Endpoint
    alertmanager: Endpoint | None
    output: Path

    def update(self) -> bool:
        """Write the document if it changed, and return whether it did.

        MonitoringError if Prometheus is unavailable or its response is invalid, ConfigError if the configuration of a
        client is; the document is then marked as stale.
        """
        now = time.time()
        try:
            content = query_content(self.prometheus, self.alertmanager, now=now)
        except MonitoringError:
            reason = f"Prometheus ({shown_url(self.prometheus.url)}) is unavailable."
            mark_stale(self.output, since=now, reason=reason)
            raise
        except ConfigError:
            mark_stale(self.output, since=now, reason="The client configuration of Prometheus is invalid.")
            raise
        return write_document(self.output, render_document(content, stem=self.output.stem, now=now))

    def run(self, *, every: float, stopped: Callable[[float], bool], log: Callable[[str], None]) -> None:
        """Update every `every` seconds; log updates, and an error once until it changes.

        `stopped` waits for the given number of seconds, and returns True at once when the process has to stop.
        """
        logged = ""
        wait = 0.0
        while not stopped(wait):
            started = time.monotonic()
            error = ""
            try:
                if self.update():
                    log(f"{self.output} updated")
            except StarlightError as failure:
                error = str(failure)
            if error != logged:
                log(error or "recovered")
                logged = error
            wait = max(0.0, every - (time.monotonic() - started))


def write_document(path: Path, document: Document) -> bool:
    """Write the files that differ from those on disk, ignoring the time of the update; return whether any did.

    Charts are written first, so that the document never links to a missing one. A pipe or device receives the document
    without charts. StorageError names the file.
    """
    if is_stream(path):
        write_text(path, document.text)
        return True
    changed = [(file, svg) for name, svg in document.charts.items() if _read(file := path.with_name(name)) != svg]
    for file, svg in changed:
        write_text(file, svg)
    before = _read(path)
    if not changed and before is not None and _without_time(before) == _without_time(document.text):
        return False
    write_text(path, document.text)
    return True


def mark_stale(path: Path, *, since: float, reason: str) -> bool:
    """Insert a warning with the time at the top of the document, and return whether the document exists.

    A document that is already marked keeps its first time. A pipe or device has no document.
    """
    before = None if is_stream(path) else _read(path)
    if before is None:
        return False
    lines = before.splitlines()
    if not any(line.startswith(STALE) for line in lines):
        place = next((i for i, line in enumerate(lines) if line.startswith(UPDATED)), 0) + 1
        lines[place:place] = ["", f"{STALE}{utc(since)}.** {reason} The values below are as of the last update."]
        write_text(path, "\n".join(lines) + "\n")
    return True


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{path}: cannot be read: {error}") from error


def _without_time(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith(UPDATED)]

"""Jobs for tests of engines: files are numbers, and some of them end the worker, block it or fail."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starlight_exporter.activity import NO_ACTIVITY, Activity
from starlight_exporter.dataset.dataset import FileFault
from starlight_exporter.dataset.engine import Shard
from starlight_exporter.dataset.found_files import FoundFile

_ROOT = Path("images")


@dataclass(frozen=True, slots=True)
class SquareJob:
    """Squares the numbers of files. Each run appends a line to a file of its process in `log`, each start as well.

    The files of `fatal` end the process, those of `blocking` block it, those of `bugs` raise an unexpected error.
    """

    log: Path
    seconds: float = 0.0
    image_seconds: float = 30.0
    fatal: frozenset[str] = frozenset()
    blocking: frozenset[str] = frozenset()
    bugs: frozenset[str] = frozenset()

    def start(self, activity: Activity = NO_ACTIVITY, memory_bytes: int | None = None) -> _OpenSquareJob:
        """See Job."""
        _append(self.log, "open")
        _append(self.log, f"memory {memory_bytes}")
        return _OpenSquareJob(self, activity)


class _OpenSquareJob:
    def __init__(self, job: SquareJob, activity: Activity) -> None:
        self._job = job
        self._activity = activity

    def run(self, files: Shard, faults: Sequence[FileFault] = ()) -> list[int | str]:
        """See OpenJob."""
        known = {fault.path: fault.reason for fault in faults}
        _append(self._job.log, f"run {files[0].path}")
        time.sleep(self._job.seconds)
        return [known.get(file.path) or self._square(file.path) for file in files]

    def close(self) -> None:
        """See OpenJob."""
        _append(self._job.log, "close")

    def _square(self, path: str) -> int:
        with self._activity.during("decode", path):
            if path in self._job.fatal:
                os.abort()
            if path in self._job.blocking:
                time.sleep(3600)
            if path in self._job.bugs:
                raise ZeroDivisionError("a bug")
        return int(path) ** 2


def logged(log: Path) -> list[str]:
    """Return what the processes of a job have logged, as `process: line`."""
    return [f"{file.name}: {line}" for file in sorted(log.iterdir()) for line in file.read_text().splitlines()]


def _append(log: Path, line: str) -> None:
    with (log / str(os.getpid())).open("a") as file:
        file.write(f"{line}\n")


def number_shards(shards: int, files: int) -> list[tuple[FoundFile, ...]]:
    """Return shards of files that are numbered throughout."""
    return [
        tuple(FoundFile(_ROOT, str(number), "clean") for number in range(start, start + files))
        for start in range(0, shards * files, files)
    ]

"""Peak memory of a process and its children: private memory, and pages of mapped files, which can be reclaimed."""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil

_EVERY: Final = 0.1
_MEGABYTE: Final = 1e6


class PeakMemory:
    """Monitor a process tree while the block runs; `own` and `mapped` are megabytes by process role."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.own: dict[str, float] = {}
        self.mapped: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY):
            try:
                children = [child for child in self._root.children() if "worker_main" in " ".join(child.cmdline())]
            except psutil.Error:
                continue
            for role, process in (("main", self._root), *(("worker", child) for child in children)):
                own, mapped = _memory(process.pid)
                self.own[role] = max(own, self.own.get(role, 0.0))
                self.mapped[role] = max(mapped, self.mapped.get(role, 0.0))


def _memory(pid: int) -> tuple[float, float]:
    """Anonymous and file-backed resident memory in megabytes; zeros for a process that has just ended."""
    try:
        lines = (Path("/proc") / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    fields = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    if "RssAnon" not in fields:
        return 0.0, 0.0
    own = int(fields["RssAnon"][0]) + int(fields["RssShmem"][0])
    return own * 1024 / _MEGABYTE, int(fields["RssFile"][0]) * 1024 / _MEGABYTE

"""Resources of processes: memory, descriptors, threads, and which processes still run."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Usage:
    """Resident bytes, open descriptors and threads of a process."""

    resident_bytes: int
    descriptors: int
    threads: int

    def __str__(self) -> str:
        return f"{self.resident_bytes / MIB:.1f} MiB, {self.descriptors} descriptors, {self.threads} threads"


def idle_usage(pid: int, seconds: float = 2.0) -> Usage:
    """Return the lowest usage of a process within `seconds`, without what scrapes use temporarily."""
    process = psutil.Process(pid)
    deadline = time.monotonic() + seconds
    found: list[tuple[int, int, int]] = []
    while not found or time.monotonic() < deadline:
        found.append((process.memory_info().rss, process.num_fds(), process.num_threads()))
        time.sleep(0.1)
    return Usage(*(min(column) for column in zip(*found, strict=True)))


def workers(pid: int) -> list[psutil.Process]:
    """Return the worker processes of an exporter."""
    found: list[psutil.Process] = []
    with suppress(psutil.Error):
        for child in psutil.Process(pid).children(recursive=True):
            with suppress(psutil.Error):
                if {"worker_main", "spawn_main"} & set(re.findall(r"\w+_main", " ".join(child.cmdline()))):
                    found.append(child)
    return found


def processes_in(temporary: Path) -> Iterator[psutil.Process]:
    """Yield the running processes that were started with this folder as TMPDIR, also those without their parent."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("TMPDIR") == str(temporary) and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def _private_bytes(pid: int) -> int:
    """Return the resident bytes of a process without mapped files, which the kernel can drop; 0 if it has ended."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(("RssAnon:", "RssShmem:")))
    return 0


class PeakMemory:
    """Record the highest memory of an exporter and of any of its workers in bytes, ten times per second.

    Mapped files, such as the cache of decoded images, are not counted.
    """

    def __init__(self, pid: int) -> None:
        self.service = 0
        self.worker = 0
        self._pid = pid
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._record, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def _record(self) -> None:
        while not self._stopped.wait(0.1):
            self.service = max(self.service, _private_bytes(self._pid))
            self.worker = max(self.worker, *(_private_bytes(process.pid) for process in workers(self._pid)), 0)

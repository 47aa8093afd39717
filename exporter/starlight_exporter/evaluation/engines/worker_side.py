"""What a worker of a cluster executes: its software, and the shards of jobs that stay open between them.

A job is opened once per process. A file that exceeds its time limit ends the process, as one that crashes a decoder
does: its nanny starts another, which reports the files that were in progress, and the driver excludes the file.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import pickle
import platform
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from distributed import Worker, get_worker

import starlight_exporter
from starlight_exporter.activity import NO_ACTIVITY, Activity, read_activity, time_limit
from starlight_exporter.dataset.engine import Job, OpenJob
from starlight_exporter.detector.providers import onnxruntime_version
from starlight_exporter.errors import EngineError, StarlightError
from starlight_exporter.processor import processor

_log: Final = logging.getLogger("distributed.worker.starlight")

GRACE_SECONDS: Final = 2.0
"""An image that exceeds its limit by less is reported as any other result."""
IDLE_SECONDS: Final = 60.0
"""A job without a shard for this long is closed: its driver may have been killed."""
ENDED: Final = "starlight-ended"
"""Topic of the events that report which files a process was working on when it ended."""
_REPORT_SECONDS: Final = 0.1
"""Time to send the report before a file ends this process, too."""
_PACKAGES: Final[dict[str, Callable[[], str]]] = {
    "onnxruntime": onnxruntime_version,
    **{name: partial(metadata.version, name) for name in ("numpy", "pillow", "distributed")},
}
_WATCH_SECONDS: Final = 0.5
_OVERDUE_EXIT: Final = 75
_ACTIVITY: Final = "starlight-activity-"


@dataclass(frozen=True, slots=True)
class Software:
    """Versions that change results, or that driver and workers must share; None if a package is not installed."""

    exporter: str
    python: str
    packages: dict[str, str | None]

    def difference(self, other: Software) -> str:
        """Return the first difference, with both values; empty if there is none."""
        ours, theirs = (
            {"starlight-exporter": one.exporter, "Python": one.python, **one.packages} for one in (self, other)
        )
        for name, version in ours.items():
            if theirs.get(name) != version:
                return f"{name} {theirs.get(name) or 'is not installed'}, the driver has {version}"
        return ""


@dataclass(frozen=True, slots=True)
class WorkerFacts:
    """Software, host name, threads and processor of a worker process."""

    software: Software
    host: str
    threads: int
    processor: str


@dataclass(frozen=True, slots=True)
class ShardOutcome:
    """The result of a shard, and the processor that computed it."""

    result: Any
    processor: str


def software() -> Software:
    """Return the versions of this process."""
    return Software(
        starlight_exporter.__version__,
        ".".join(platform.python_version_tuple()[:2]),
        {name: _version(find) for name, find in _PACKAGES.items()},
    )


def worker_facts(dask_worker: Worker) -> WorkerFacts:
    """Return the facts of this process. Dask passes the worker."""
    return WorkerFacts(software(), socket.gethostname(), dask_worker.state.nthreads, processor())


def same(job: Job[Any]) -> Job[Any]:
    """Return the job: a task whose result every worker receives once, and that can be computed again."""
    return job


def run_shard(job: Job[Any], key: str, driver: Software, pickled: bytes) -> ShardOutcome:
    """Return the result of one shard of a job; `pickled` are its files and their faults. Raise StarlightError."""
    files, faults = pickle.loads(pickled)
    with _jobs.opened(key, job, driver) as opened:
        return ShardOutcome(opened.run(files, faults), _jobs.processor)


def close_job(key: str) -> None:
    """Close a job in this process, once no shard is running."""
    _jobs.discard(key)


@dataclass(slots=True)
class _Entry:
    job: Job[Any]
    lock: threading.Lock = field(default_factory=threading.Lock)
    opened: OpenJob[Any] | None = None
    running: int = 0
    used_at: float = field(default_factory=time.monotonic)
    discarded: bool = False


class _Jobs:
    """The open jobs of this process; thread-safe."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()
        self._activity: Activity | None = None
        self._memory_bytes: int | None = None
        self.processor = processor()

    @contextmanager
    def opened(self, key: str, job: Job[Any], driver: Software) -> Iterator[OpenJob[Any]]:
        """Open the job unless it is open, and keep it open meanwhile."""
        with self._lock:
            activity = self._watched()
            entry = self._entries.setdefault(key, _Entry(job))
            entry.running += 1
        try:
            with entry.lock:
                if entry.opened is None:
                    # A worker that joined after the check of the driver.
                    difference = driver.difference(software())
                    if difference:
                        raise EngineError(f"worker on {socket.gethostname()}: {difference}", reason="version")
                    entry.opened = job.start(activity, self._memory_bytes)
            yield entry.opened
        finally:
            with self._lock:
                entry.running -= 1
                entry.used_at = time.monotonic()
                ended = self._ended(key, entry)
            _close(ended)

    def discard(self, key: str) -> None:
        """Close a job, at once or after its last running shard."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return
            entry.discarded = True
            ended = self._ended(key, entry)
        _close(ended)

    def _ended(self, key: str, entry: _Entry) -> OpenJob[Any] | None:
        """Remove an entry that is not used any more, and return what has to be closed."""
        if entry.running or not entry.discarded:
            return None
        self._entries.pop(key, None)
        return entry.opened

    def _watched(self) -> Activity:
        """Return the activity of this process, with a thread that watches it."""
        if self._activity is None:
            worker = get_worker()
            # Its nanny ends a process that uses more.
            self._memory_bytes = worker.memory_manager.memory_limit
            # Next to the folder of the process, and named after its nanny: the next process finds it.
            folder = Path(worker.local_directory).parent
            path = folder / f"{_ACTIVITY}{os.getppid()}"
            _report_ended(worker, path)
            _remove_abandoned(folder)
            try:
                self._activity = Activity(path)
            except OSError as error:
                # Such as a full disk; then no file exceeds its time limit on this worker.
                _log.warning("time limits are not enforced: %s", error)
                self._activity = NO_ACTIVITY
            else:
                threading.Thread(target=self._watch, args=(path,), name="watch", daemon=True).start()
        return self._activity

    def _watch(self, path: Path) -> None:
        """Close idle jobs, and end this process when a file exceeds its time limit."""
        while True:
            time.sleep(_WATCH_SECONDS)
            now = time.monotonic()
            with self._lock:
                seconds = max((entry.job.image_seconds for entry in self._entries.values()), default=None)
                idle = [
                    key
                    for key, entry in self._entries.items()
                    if not entry.running and now - entry.used_at > IDLE_SECONDS
                ]
            for key in idle:
                self.discard(key)
            if seconds is None:
                faulthandler.cancel_dump_traceback_later()
                continue
            for one in read_activity(path):
                if now - one.since > time_limit(one, seconds) + GRACE_SECONDS:
                    _log.error("time limit exceeded: %s", ", ".join(one.files))
                    _overdue_file(path).touch()
                    os._exit(_OVERDUE_EXIT)
            # Ends the process also if C code holds the interpreter, so that this thread cannot.
            faulthandler.dump_traceback_later(seconds + GRACE_SECONDS, exit=True)


def _report_ended(worker: Worker, path: Path) -> None:
    """Report the files that the previous process of this nanny was working on."""
    files = [file for one in read_activity(path) for file in one.files]
    overdue = _overdue_file(path)
    if files:
        worker.log_event(ENDED, {"files": files, "reason": "timeout" if overdue.exists() else "crashed"})
        time.sleep(_REPORT_SECONDS)
    for file in (path, overdue):
        with suppress(OSError):
            file.unlink()


def _remove_abandoned(folder: Path) -> None:
    """Delete the activity of processes whose nanny has ended."""
    for file in folder.glob(f"{_ACTIVITY}*"):
        nanny = file.name.removeprefix(_ACTIVITY).partition(".")[0]
        if nanny.isdecimal() and not Path("/proc", nanny).exists():
            with suppress(OSError):
                file.unlink()


def _overdue_file(path: Path) -> Path:
    """Return the file that marks an activity with an exceeded time limit."""
    return path.with_name(f"{path.name}.overdue")


def _close(opened: OpenJob[Any] | None) -> None:
    if opened is not None:
        with suppress(StarlightError, OSError):
            opened.close()


def _version(find: Callable[[], str]) -> str | None:
    try:
        return find()
    except metadata.PackageNotFoundError:
        return None


_jobs: Final = _Jobs()

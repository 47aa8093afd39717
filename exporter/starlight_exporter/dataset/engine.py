"""Engines: map a job over the shards of a dataset, in this process or in others.

A job is a small, picklable description of the work: it is sent to every process once, started there (sessions, caches,
sources), and applied to shards. Otherwise only the files of a shard, without contents, and its result are sent.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Final, Protocol, TypeVar

from starlight_exporter.activity import NO_ACTIVITY, Activity
from starlight_exporter.dataset.dataset import FileFault
from starlight_exporter.dataset.found_files import FoundFile
from starlight_exporter.processor import processor

BATCH: Final = 16
"""Files that a thread decodes before it scores them together. Shards have a multiple of it: batches are the same."""
LOCAL_SHARD_SIZES: Final = (BATCH, 128)
_SHARDS_PER_THREAD: Final = 32
"""Shards of a small dataset per thread, so that all threads end at about the same time."""
_AHEAD: Final = 4
"""Shards per thread that are submitted before their results are needed."""
_PROGRESS_SECONDS: Final = 0.1

Shard = Sequence[FoundFile]
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)
Results = Generator[Result, None, None]


class OpenJob(Protocol[Result_co]):
    """A job that was started in one process. Thread-safe."""

    def run(self, shard: Shard, faults: Sequence[FileFault] = ()) -> Result_co:
        """Return the result of a shard. The files of `faults`, in addition to those of the job, are not opened."""

    def close(self) -> None:
        """Release the resources of the job; called once, after the last shard of this process."""


class Job(Protocol[Result_co]):
    """Work on shards; picklable. `image_seconds` is the time limit of a file."""

    @property
    def image_seconds(self) -> float:
        """The time limit of a file in seconds."""

    def start(self, activity: Activity = NO_ACTIVITY, memory_bytes: int | None = None) -> OpenJob[Result_co]:
        """Start the job in this process; its threads report to `activity`.

        `memory_bytes` is the memory limit of this process, if it is another one than that of the driver.
        """


class Shards(Protocol):
    """The shards of a dataset, created on access."""

    def __len__(self) -> int:
        """Return the number of shards."""

    def __getitem__(self, number: int, /) -> Shard:
        """Return a shard."""


class Engine(Protocol):
    """Maps jobs over shards."""

    @property
    def threads(self) -> int:
        """The number of shards that are processed at the same time."""

    @property
    def shard_sizes(self) -> tuple[int, int]:
        """The smallest and the largest number of files per shard that the engine runs efficiently."""

    @property
    def processors(self) -> Collection[str]:
        """The models of the processors that have computed results."""

    def map(self, job: Job[Result], shards: Shards, *, progress: Callable[[int], None]) -> Results[Result]:
        """Yield the results in the order of the shards, each exactly once.

        `progress` is called with the number of files done. An exception of it, or the end of the iteration, ends the
        job. Shards are taken from the sequence when they are needed.
        """


def shard_files(files: int, engine: Engine) -> int:
    """Return the number of files per shard: a multiple of BATCH within the bounds of the engine."""
    low, high = engine.shard_sizes
    wanted = files / max(1, engine.threads * _SHARDS_PER_THREAD)
    return min(high, max(low, round(wanted / BATCH) * BATCH))


class LocalEngine:
    """Runs jobs on threads of this process."""

    def __init__(self, threads: int, activity: Activity = NO_ACTIVITY) -> None:
        self._threads = threads
        self._activity = activity

    @property
    def threads(self) -> int:
        """See Engine."""
        return self._threads

    @property
    def shard_sizes(self) -> tuple[int, int]:
        """See Engine."""
        return LOCAL_SHARD_SIZES

    @property
    def processors(self) -> Collection[str]:
        """See Engine."""
        return (processor(),)

    def map(self, job: Job[Result], shards: Shards, *, progress: Callable[[int], None]) -> Results[Result]:
        """See Engine."""
        opened = job.start(self._activity)
        done, lock = 0, threading.Lock()

        def run(shard: Shard) -> Result:
            nonlocal done
            result = opened.run(shard)
            with lock:
                done += len(shard)
            return result

        pending: deque[Future[Result]] = deque()
        try:
            with ThreadPoolExecutor(self._threads, thread_name_prefix="shards") as pool:
                try:
                    for number in range(len(shards)):
                        pending.append(pool.submit(run, shards[number]))
                        if len(pending) > _AHEAD * self._threads:
                            yield _next(pending, lambda: progress(done))
                    while pending:
                        yield _next(pending, lambda: progress(done))
                finally:
                    for future in pending:
                        future.cancel()
        finally:
            opened.close()


def _next(pending: deque[Future[Result]], report: Callable[[], None]) -> Result:
    """Wait for the first pending result; report the progress meanwhile, and once it is there."""
    while not pending[0].done():
        wait([pending[0]], timeout=_PROGRESS_SECONDS)
        report()
    report()
    return pending.popleft().result()

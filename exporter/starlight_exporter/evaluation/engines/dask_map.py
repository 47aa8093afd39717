"""Shards of one job on a Dask cluster: submit a few at a time, collect them, find files that end their workers.

A shard that ends its workers is bisected, alone on the cluster, until the file is found, and runs again without it.
Usually the next process of the worker reports the file.
"""

from __future__ import annotations

import pickle
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, cast

from distributed import CancelledError, Future, KilledWorker

from starlight_exporter.dataset.dataset import FileFault
from starlight_exporter.dataset.engine import Job, Shard, Shards
from starlight_exporter.errors import EvaluationError, NotMeasuredReason, StarlightError
from starlight_exporter.evaluation.engines.worker_side import ShardOutcome, run_shard, same

if TYPE_CHECKING:
    from starlight_exporter.evaluation.engines.dask import DaskEngine

WORKER_SECONDS: Final = 60.0
"""Time that a cluster may be without workers, at the start and later."""
IN_FLIGHT: Final = 4
"""Shards per thread of the cluster that are submitted at a time."""
AHEAD: Final = 16
"""Shards per thread between the first one whose result is missing and the last one that is submitted."""
MAX_FILES: Final = 20
"""Maximum number of files that an evaluation excludes, as in `runs.supervision`."""
_MAX_UNEXPLAINED: Final = 2
_POLL_SECONDS: Final = 1.0


class ShardMap:
    """One call of `DaskEngine.map`."""

    def __init__(self, engine: DaskEngine, job: Job[Any], shards: Shards, progress: Callable[[int], None]) -> None:
        self._engine = engine
        self._shards = shards
        self._progress = progress
        self._key = f"starlight-{secrets.token_hex(8)}"
        self._job = engine.submit(same, job, key=f"{self._key}-job")
        self._pending: dict[Future, tuple[int, int]] = {}
        """The submitted shards: number and files."""
        self._finished: SimpleQueue[Future] = SimpleQueue()
        self._results: dict[int, Any] = {}
        self._suspects: list[int] = []
        self._submitted = self._yielded = self._done = 0
        self._attempts = self._excluded = self._unexplained = 0
        self._without_workers: float | None = None

    def results(self) -> Iterator[Any]:
        """Yield the results in the order of the shards."""
        while self._yielded < len(self._shards):
            if not self._suspects:
                self._submit()
            if self._pending:
                self._collect()
            elif self._suspects:
                number = self._suspects.pop(0)
                files = self._shards[number]
                self._accept(number, len(files), self._without_faults(files))
            while self._yielded in self._results:
                yield self._results.pop(self._yielded)
                self._yielded += 1

    def close(self) -> None:
        """Cancel what has not run."""
        self._engine.discard([*self._pending, self._job], self._key)

    def _submit(self) -> None:
        """Submit the next shards, few at a time: neither scheduler nor driver keep all of them."""
        threads = self._engine.threads
        last = min(len(self._shards), self._yielded + AHEAD * threads)
        while self._submitted < last and len(self._pending) < IN_FLIGHT * threads:
            number, files = self._submitted, self._shards[self._submitted]
            self._pending[self._start(files, (), number)] = number, len(files)
            self._submitted += 1

    def _start(self, files: Shard, faults: Sequence[FileFault], number: int | None = None) -> Future:
        self._attempts += 1
        future = self._engine.submit(
            run_shard,
            # Pickled here: Dask would search all files for futures.
            *(self._job, self._key, self._engine.driver, pickle.dumps((files, faults))),
            key=f"{self._key}-{self._attempts}",
            number=number,
        )
        future.add_done_callback(self._finished.put)
        return future

    def _collect(self) -> None:
        """Wait for shards to finish, and accept those that have."""
        futures = self._finished_soon()
        gathered = self._engine.gather(futures)
        for future in futures:
            number, files = self._pending.pop(future)
            result = gathered.get(future) or self._result(future, partial(self._names, number))
            if result is None:
                self._suspects.append(number)
            else:
                self._accept(number, files, result)

    def _accept(self, number: int, files: int, outcome: ShardOutcome) -> None:
        self._engine.processors.add(outcome.processor)
        self._results[number] = outcome.result
        self._done += files
        self._progress(self._done)

    def _finished_soon(self) -> list[Future]:
        """Return the tasks that have finished; wait a moment for one. Raise EngineError for a lost cluster."""
        futures: list[Future] = []
        with suppress(Empty):
            futures.append(self._finished.get(timeout=_POLL_SECONDS))
            while True:
                futures.append(self._finished.get_nowait())
        if not futures:
            # An exception of the caller ends the map.
            self._progress(self._done)
        now = time.monotonic()
        if self._engine.count_threads() or futures:
            self._without_workers = None
        elif self._without_workers is None:
            self._without_workers = now
        elif now - self._without_workers > WORKER_SECONDS:
            raise self._engine.error(f"has had no worker for {WORKER_SECONDS:g} s", "no_workers")
        return futures

    def _result(self, future: Future, names: Callable[[], str]) -> ShardOutcome | None:
        """Return the result of a task, None if it ended its workers. Raise StarlightError."""
        try:
            return cast(ShardOutcome, future.result())
        except KilledWorker:
            return None
        except StarlightError:
            raise
        except CancelledError as error:
            raise self._engine.error("the connection was lost", "lost") from error
        except Exception as error:
            raise EvaluationError(f"{names()}: {type(error).__name__}: {error}") from error

    def _names(self, number: int) -> str:
        return _names(self._shards[number])

    def _without_faults(self, files: Shard) -> ShardOutcome:
        """Return the result of a shard without the files that end their workers. Raise EngineError for too many."""
        faults: list[FileFault] = []
        while not isinstance(outcome := self._alone(files, faults), ShardOutcome):
            fault = outcome or self._bisected(files, faults)
            if fault is None:
                self._unexplained += 1
                if self._unexplained > _MAX_UNEXPLAINED:
                    raise self._engine.error(f"workers ended without a file as the cause: {_names(files)}", "crashes")
                continue
            self._excluded += 1
            if self._excluded > MAX_FILES:
                raise self._engine.error(f"more than {MAX_FILES} files ended workers; {fault.detail}", "crashes")
            faults.append(fault)
        return outcome

    def _bisected(self, files: Shard, faults: Sequence[FileFault]) -> FileFault | None:
        """Return the fault of the file that ends its workers, None if no single one does."""
        known = {fault.path for fault in faults}
        candidates = [file for file in files if file.path not in known]
        while len(candidates) > 1:
            half = len(candidates) // 2
            outcome = self._alone(candidates[:half], ())
            if isinstance(outcome, FileFault):
                return outcome
            candidates = candidates[:half] if outcome is None else candidates[half:]
        outcome = self._alone(candidates, ())
        if isinstance(outcome, ShardOutcome):
            return None
        return outcome or _fault(candidates[0].path, "crashed")

    def _alone(self, files: Shard, faults: Sequence[FileFault]) -> ShardOutcome | FileFault | None:
        """Run files while the cluster runs no others of this map, which would be suspected, too.

        Return their result; the fault of the only file that was in progress when a worker ended, if that is reported;
        otherwise None if workers ended.
        """
        before = len(self._engine.ended())
        future = self._start(files, faults)
        paths = {file.path for file in files} - {fault.path for fault in faults}
        while future not in self._finished_soon():
            for report in self._engine.ended()[before:]:
                suspects = paths.intersection(report["files"])
                if len(suspects) == 1:
                    self._engine.cancel([future])
                    return _fault(suspects.pop(), report["reason"])
        return self._result(future, lambda: _names(files))


def _fault(path: str, reason: NotMeasuredReason) -> FileFault:
    text = "exceeded its time limit" if reason == "timeout" else "ended the worker"
    return FileFault(path, reason, f"{path}: {text} on every attempt of the cluster", "decode")


def _names(files: Shard) -> str:
    return str(files[0].path) if len(files) == 1 else f"{files[0].path} to {files[-1].path}"

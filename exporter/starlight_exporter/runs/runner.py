"""Runs evaluations one after the other, each in a fresh worker process, and tells how each ended.

A crash in a decoder or in the runtime costs one run; memory of an old model goes with its process.
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

import structlog

from starlight_exporter.errors import StarlightError
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.results import RunResult
from starlight_exporter.publish.snapshot import Outcome, Pair
from starlight_exporter.runs import worker
from starlight_exporter.runs.worker import Work

_log = structlog.get_logger(__name__)
_Result = TypeVar("_Result")

POLL_SECONDS = 0.3


def process_pool() -> Executor:
    """One fresh process, started anew (a fork would copy the threads' locks)."""
    return ProcessPoolExecutor(
        max_workers=1, mp_context=multiprocessing.get_context("spawn"), initializer=worker.start_worker
    )


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended; `result` and `thumbnails` for a success only, `error` is one line otherwise. UTC seconds."""

    pair: Pair
    trigger: str
    outcome: Outcome
    started_at: float
    ended_at: float
    error: str = ""
    failure: StarlightError | None = None
    result: RunResult | None = None
    thumbnails: Path | None = None


@dataclass(frozen=True, slots=True)
class Errand:
    """Work that can wait: done in a worker process while no evaluation is wanted, begun anew if one comes in between.

    `done` is called from the runner's thread with the outcome, and with the function's result or what went wrong.
    """

    name: str
    function: Callable[..., object]
    arguments: tuple[object, ...]
    done: Callable[[Outcome, object], None]


@dataclass(frozen=True, slots=True)
class Chore:
    """Light work on results that are there, for the runner's own thread while no evaluation is wanted."""

    name: str
    work: Callable[[], None]


class Listener(Protocol):
    """Who asks for runs and hears of them; called from the runner's thread."""

    def request(self, pair: Pair, trigger: str) -> RunRequest | None:
        """The run to do now, or None where the pair is no longer configured."""

    def started(self, pair: Pair) -> None:
        """A run begins."""

    def progressed(self, pair: Pair, ratio: float) -> None:
        """So much of it is done, 0 to 1."""

    def ended(self, run: Ended) -> None:
        """It is over; the thumbnails' folder is removed after this call."""


class Runner:
    """A queue of (model, dataset) pairs, each in it at most once; `order` says which goes first."""

    def __init__(
        self,
        listener: Listener,
        *,
        order: Callable[[Pair], int],
        timeout: Callable[[], float],
        make_executor: Callable[[], Executor] = process_pool,
    ) -> None:
        self._listener = listener
        self._order = order
        self._timeout = timeout
        self._make_executor = make_executor
        self._wake = threading.Condition()
        self._queue: dict[Pair, str] = {}
        self._errands: dict[str, Errand | Chore] = {}
        self._current: Pair | None = None
        self._cancel = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="runner", daemon=True)

    def start(self) -> None:
        """Begin to take from the queue."""
        self._thread.start()

    def submit(self, pair: Pair, trigger: str) -> None:
        """Queue a run; a pair that waits already keeps its place."""
        with self._wake:
            self._queue.setdefault(pair, trigger)
            self._wake.notify()

    def run_errand(self, errand: Errand | Chore) -> None:
        """Queue an errand or a chore; it takes the place of one of the same name that still waits."""
        with self._wake:
            self._errands[errand.name] = errand
            self._wake.notify()

    def queued(self) -> int:
        """Runs that wait."""
        with self._wake:
            return len(self._queue)

    def cancel(self, concerns: Callable[[Pair], bool]) -> None:
        """Give up the current run if it concerns what has changed: its numbers would be old when they came."""
        with self._wake:
            if self._current is not None and concerns(self._current):
                self._cancel.set()

    def stop(self, seconds: float = 10.0) -> None:
        """Cancel the current run and end; nothing that waits is started any more."""
        with self._wake:
            self._stopping = True
            self._queue.clear()
            self._errands.clear()
            self._cancel.set()
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join(seconds)
        # A worker of `call` may still be at it, and the interpreter would wait for it at its end.
        kill_workers()

    def call(self, function: Callable[..., _Result], *arguments: object, timeout: float) -> _Result:
        """A function's result from a worker process of its own; whatever it raises passes through.

        TimeoutError after `timeout` seconds, BrokenProcessPool if the process dies, OSError if it cannot be started.
        """
        executor = self._make_executor()
        try:
            future = executor.submit(function, *arguments)
            with self._wake:
                stopping = self._stopping
            if stopping:
                # `stop` may have looked for workers before this one was there.
                kill_workers()
            return future.result(timeout)
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    def _loop(self) -> None:
        while True:
            with self._wake:
                while not self._queue and not self._errands and not self._stopping:
                    self._wake.wait()
                if self._stopping:
                    return
                if self._queue:
                    errand = None
                    pair = min(self._queue, key=self._order)
                    trigger = self._queue.pop(pair)
                    self._current = pair
                    self._cancel.clear()
                else:
                    errand = self._errands.pop(next(iter(self._errands)))
            if errand is not None:
                self._do(errand)
                continue
            try:
                request = self._listener.request(pair, trigger)
                if request is not None:
                    self._run(pair, request)
            except Exception:  # noqa: BLE001  # the thread's last boundary: one bug must not end all later runs
                _log.exception("run failed in an unexpected way", model=pair[0], dataset=pair[1])
            finally:
                with self._wake:
                    self._current = None

    def _do(self, errand: Errand | Chore) -> None:
        try:
            if isinstance(errand, Chore):
                errand.work()
                return
            ended = self._attempt(errand)
            if ended is not None:
                errand.done(*ended)
        except Exception:  # noqa: BLE001  # as above: the thread's last boundary
            _log.exception("errand failed in an unexpected way", errand=errand.name)

    def _attempt(self, errand: Errand) -> tuple[Outcome, object] | None:
        """How it ended; None if it made room for an evaluation and waits again, or nobody wants it any more."""
        timeout = self._timeout()
        deadline = time.monotonic() + timeout
        executor: Executor | None = None
        try:
            executor = self._make_executor()
            future = executor.submit(errand.function, *errand.arguments)
            while not wait([future], POLL_SECONDS).done:
                with self._wake:
                    if self._queue or self._stopping:
                        # Evaluations go first: a new model's numbers are wanted within a minute.
                        kill_workers()
                        if not self._stopping:
                            self._errands.setdefault(errand.name, errand)
                        return None
                if time.monotonic() > deadline:
                    kill_workers()
                    return "timeout", TimeoutError(f"took longer than {timeout:g} s")
            return "success", future.result()
        except BrokenProcessPool as error:
            return "crashed", error
        except Exception as error:  # noqa: BLE001  # process boundary: whoever asked is told of every end
            if not isinstance(error, StarlightError | OSError):
                _log.exception("errand failed in an unexpected way", errand=errand.name)
            return "error", error
        finally:
            if executor is not None:
                executor.shutdown(wait=False, cancel_futures=True)

    def _run(self, pair: Pair, request: RunRequest) -> None:
        self._listener.started(pair)
        started = time.time()
        scratch: Path | None = None
        try:
            scratch = Path(tempfile.mkdtemp(prefix="starlight-run-"))
            work = Work(replace(request, progress_file=scratch / "progress.json"), scratch / "thumbnails")
            outcome, error, result = self._execute(pair, work, scratch / "progress.json")
        except OSError as failure:
            # No room for a folder, or for another process: whoever was told of a start is told of an end.
            outcome, error, result = "error", failure, None
        try:
            thumbnails = None if scratch is None else scratch / "thumbnails"
            ended = Ended(
                pair=pair,
                trigger=request.trigger,
                outcome=outcome,
                started_at=started,
                ended_at=time.time(),
                error="" if error is None else " ".join(str(error).split()) or type(error).__name__,
                failure=error if isinstance(error, StarlightError) else None,
                result=result,
                thumbnails=thumbnails if thumbnails is not None and thumbnails.is_dir() else None,
            )
            self._listener.ended(ended)
        finally:
            if scratch is not None:
                shutil.rmtree(scratch, ignore_errors=True)

    def _execute(
        self, pair: Pair, work: Work, progress_file: Path
    ) -> tuple[Outcome, Exception | str | None, RunResult | None]:
        executor = self._make_executor()
        timeout = self._timeout()
        deadline = time.monotonic() + timeout
        killed: tuple[Outcome, str] | None = None
        try:
            future = executor.submit(worker.evaluate, work)
            while not wait([future], POLL_SECONDS).done:
                ratio = read_progress(progress_file)
                if ratio is not None:
                    self._listener.progressed(pair, ratio)
                if killed is None and self._cancel.is_set():
                    killed = ("cancelled", "given up: what it measured has changed, or the exporter stops")
                elif killed is None and time.monotonic() > deadline:
                    killed = ("timeout", f"took longer than {timeout:g} s")
                if killed is not None:
                    kill_workers()
            return "success", None, future.result()
        except BrokenProcessPool:
            if killed is not None:
                return killed[0], killed[1], None
            return "crashed", "the worker process died in the middle of the run", None
        except StarlightError as error:
            return "error", error, None
        except Exception as error:  # noqa: BLE001  # process boundary: a bug inside the worker costs this run alone
            _log.exception("run failed in an unexpected way", model=pair[0], dataset=pair[1])
            return "error", error, None
        finally:
            executor.shutdown(wait=False, cancel_futures=True)


def kill_workers() -> None:
    """End all worker processes. One run is under way at a time; a `call` beside it fails, and says so to its caller."""
    for child in multiprocessing.active_children():
        child.kill()


def read_progress(file: Path) -> float | None:
    """The share of a run that is done, as its worker last wrote it; None before the first word."""
    with suppress(OSError, ValueError, TypeError, KeyError, ZeroDivisionError):
        state = json.loads(file.read_text())
        return min(1.0, float(state["done"]) / float(state["total"]))
    return None

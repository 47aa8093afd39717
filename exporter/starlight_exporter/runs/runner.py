"""Runner: a queue of evaluations and background jobs, executed one at a time in worker processes.

Each call has a fresh process: a crash costs one run, and the memory of a model is freed with the process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import structlog

from starlight_exporter.dataset.dataset import FileFault
from starlight_exporter.errors import EngineError, ModelError, StorageError
from starlight_exporter.evaluation.provisional_result import (
    ProvisionalFailure,
    ProvisionalResult,
    read_provisional,
)
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.results import RunResult
from starlight_exporter.models.roles import Role
from starlight_exporter.publish.snapshot import Outcome, Pair
from starlight_exporter.runs.attempt import Attempt, attempt, cancelled_attempt
from starlight_exporter.runs.finished_run import FinishedRun, RunOutput
from starlight_exporter.runs.process import WorkerProcess
from starlight_exporter.runs.progress import read_progress
from starlight_exporter.runs.scratch import scratch_folder
from starlight_exporter.runs.supervision import ModelLimitError, Supervisor

_log = structlog.get_logger(__name__)

PRIORITY: Final[dict[Role, int]] = {"production": 0, "baseline": 1, "research": 3}
"""Order of evaluation by role, lowest first."""
LATER_PRIORITY: Final[dict[Role, int]] = {"production": 2, "baseline": 4, "research": 4}
"""The same on datasets without alerts or labels, which delay no evaluation that decides about an alert of a model."""
_INTERRUPTS: Final = 2
"""Evaluations of a lower priority value interrupt the others."""
MAX_CANCELLATIONS: Final = 3
MAX_INTERRUPTIONS: Final = 3
"""Full passes that changed images of other datasets interrupt in a row; the next one is completed."""
PREEMPTED: Final = "cancelled: an evaluation of the production model or its baseline comes first; queued again"


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """An evaluation that waits for its turn; with `is_sampled`, its provisional result is published already."""

    pair: Pair
    trigger: str
    is_sampled: bool = False


@dataclass(frozen=True, slots=True)
class BackgroundJob:
    """A call in a worker process while no evaluation is queued; an evaluation interrupts it, and it is restarted later.

    `done` is called in the runner's thread, unless the exporter stops.
    """

    name: str
    function: Callable[..., object]
    arguments: tuple[object, ...]
    done: Callable[[Attempt], None]


@dataclass(frozen=True, slots=True)
class InThreadTask:
    """Work for a thread of this process. It starts while no evaluation is queued or running, and delays none."""

    name: str
    work: Callable[[], None]


class RunHandler(Protocol):
    """Prepares evaluations and processes their outcomes; called in the runner's thread."""

    def request(self, pair: Pair, trigger: str) -> RunRequest | None:
        """Return the run to start now; None to skip it."""

    def started(self, pair: Pair) -> None:
        """Handle the start of a run."""

    def progressed(self, pair: Pair, ratio: float) -> None:
        """Handle the progress of a run, 0 to 1."""

    def sampled(self, request: RunRequest, result: ProvisionalResult | ProvisionalFailure) -> bool:
        """Handle the provisional result of a run, or why it has none; return whether a result is published."""

    def finished(self, run: FinishedRun, output: RunOutput) -> None:
        """Handle the end of a run."""


class Runner:
    """Executes queued evaluations in the order of `priority` (see PRIORITY), and background jobs between them.

    Each pair is in the queue at most once, and so is each name of a job. On a labelled dataset with alerts, a queued
    production model, and a baseline that has to be evaluated, interrupt any other evaluation, which is queued again.
    A production model interrupts its baseline as well. Any evaluation without values interrupts one that has published
    its provisional result.
    """

    def __init__(
        self,
        *,
        priority: Callable[[Pair], int],
        timeout: Callable[[], float],
        make_process: Callable[[], WorkerProcess] = WorkerProcess,
    ) -> None:
        # Set before `start`; the handler itself needs the runner.
        self.handler: RunHandler
        self._priority = priority
        self._timeout = timeout
        self._make_process = make_process
        self._wake = threading.Condition()
        self._queue: dict[Pair, QueuedRun] = {}
        self._jobs: dict[str, BackgroundJob] = {}
        self._tasks: dict[str, InThreadTask] = {}
        self._current: Pair | None = None
        self._listed: str | None = None
        self._awaits_sample = self._is_sampled = False
        self._cancellations: dict[Pair, int] = {}
        self._interruptions: dict[Pair, int] = {}
        self._cancel = False
        self._preempted = False
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="runner", daemon=True)
        self._task_thread = threading.Thread(target=self._task_loop, name="tasks", daemon=True)

    def start(self) -> None:
        """Start to process the queue."""
        self._thread.start()
        self._task_thread.start()

    def submit(self, pair: Pair, trigger: str) -> None:
        """Queue an evaluation; a pair that is queued already keeps its trigger, unless that is the schedule."""
        with self._wake:
            queued = self._queue.get(pair)
            # A scheduled run may be skipped, one that was requested may not. Model or images may have changed since an
            # interrupted run published its provisional result.
            if queued is None or queued.trigger == "schedule":
                self._queue[pair] = QueuedRun(pair, trigger)
            elif queued.is_sampled:
                self._queue[pair] = QueuedRun(pair, queued.trigger if trigger == "schedule" else trigger)
            self._wake.notify_all()

    def submit_job(self, job: BackgroundJob | InThreadTask) -> None:
        """Queue a job; it replaces a queued job of the same name."""
        with self._wake:
            if isinstance(job, InThreadTask):
                self._tasks[job.name] = job
            else:
                self._jobs[job.name] = job
            self._wake.notify_all()

    def queued(self) -> int:
        """Return the number of queued evaluations."""
        with self._wake:
            return len(self._queue)

    def in_order(self, pairs: Iterable[Pair]) -> list[Pair]:
        """Return pairs in the order in which they would be evaluated."""
        return sorted(pairs, key=self._priority)

    def listed(self, pair: Pair) -> str | None:
        """Return the digest of the listing of the running evaluation of a pair; None if it is not known yet."""
        with self._wake:
            return self._listed if self._current == pair else None

    def cancel(self, affected: Callable[[Pair], bool]) -> None:
        """Cancel the running evaluation if it is affected by a change of the configuration."""
        with self._wake:
            if self._current is not None and affected(self._current):
                self._cancel = True

    def cancel_replaced(self, model: str) -> None:
        """Cancel the running evaluation of a model whose file has changed.

        With its provisional result published, it does not count as one without values: a full pass of the replaced
        model would delay the values of the new one by minutes.
        """
        with self._wake:
            if self._current is not None and self._current[0] == model and self._is_sampled:
                self._cancel = True
            else:
                self.cancel_outdated(lambda pair: pair[0] == model)

    def cancel_outdated(self, affected: Callable[[Pair], bool]) -> None:
        """Cancel the running evaluation if its model or images have changed.

        The evaluation that follows MAX_CANCELLATIONS cancelled ones of the same pair is completed: files that change
        all the time must not prevent every result.
        """
        with self._wake:
            pair = self._current
            if pair is not None and affected(pair) and not self._cancel:
                self._cancellations[pair] = self._cancellations.get(pair, 0) + 1
                self._cancel = self._cancellations[pair] <= MAX_CANCELLATIONS

    def fingerprint(self, request: RunRequest, *, timeout: float) -> Attempt:
        """Scan the dataset of a request in a worker process, in the caller's thread, next to a running evaluation."""
        try:
            with scratch_folder() as scratch:
                return Supervisor(
                    self._make_process,
                    scratch,
                    timeout=timeout,
                    interrupt=lambda: cancelled_attempt() if self._stopping else None,
                ).fingerprint(request)
        except OSError as error:
            return Attempt("error", error=error)

    def stop(self, seconds: float = 10.0) -> None:
        """Empty the queue, cancel what is running and wait for its end."""
        with self._wake:
            self._stopping = True
            self._queue.clear()
            self._jobs.clear()
            self._tasks.clear()
            self._wake.notify_all()
        end = time.monotonic() + seconds
        for thread in (self._thread, self._task_thread):
            if thread.is_alive():
                thread.join(max(0.0, end - time.monotonic()))

    def _loop(self) -> None:
        while (item := self._next()) is not None:
            try:
                match item:
                    case QueuedRun():
                        self._evaluate(item)
                    case BackgroundJob():
                        self._run_job(item)
            except Exception:  # noqa: BLE001  # thread boundary: an unexpected error must not stop later runs
                _log.exception("unexpected error in a run or background job", item=str(item))
            finally:
                with self._wake:
                    self._current = None
                    self._wake.notify_all()

    def _task_loop(self) -> None:
        while (task := self._next_task()) is not None:
            try:
                task.work()
            except Exception:  # noqa: BLE001  # thread boundary: an unexpected error must not stop later tasks
                _log.exception("unexpected error in a task", task=task.name)

    def _next_task(self) -> InThreadTask | None:
        """Wait for a task, and until no evaluation is queued or running; None when the runner stops."""
        with self._wake:
            self._wake.wait_for(lambda: self._stopping or (self._tasks and not self._queue and self._current is None))
            return None if self._stopping else self._tasks.pop(next(iter(self._tasks)))

    def _next(self) -> QueuedRun | BackgroundJob | None:
        """Wait for work and return it, evaluations first; None when the runner stops."""
        with self._wake:
            self._wake.wait_for(lambda: self._queue or self._jobs or self._stopping)
            if self._stopping:
                return None
            if self._queue:
                self._current = min(self._queue, key=self._order)
                queued = self._queue.pop(self._current)
                self._cancel = self._preempted = False
                self._listed = None
                self._is_sampled = queued.is_sampled
                self._awaits_sample = not queued.is_sampled
                return queued
            return self._jobs.pop(next(iter(self._jobs)))

    def _evaluate(self, queued: QueuedRun) -> None:
        """Execute one evaluation in worker processes and hand over its outcome, whatever it is."""
        request = self.handler.request(queued.pair, queued.trigger)
        if request is None:
            return
        if queued.is_sampled and request.provisional is not None:
            request = replace(request, provisional=replace(request.provisional, is_published=True))
        self.handler.started(queued.pair)
        started_at, started = time.time(), time.monotonic()
        with ExitStack() as stack:
            thumbnails: Path | None = None
            faults: tuple[FileFault, ...] = ()
            try:
                scratch = stack.enter_context(scratch_folder())
                thumbnails = scratch / "thumbnails"
                ended, faults = self._supervised(request, scratch, thumbnails)
            except OSError as error:
                ended = Attempt("error", error=error)
            # Before the handler, whose error must not lose the run.
            self._ended(queued, ended.outcome)
            result = ended.result if isinstance(ended.result, RunResult) else None
            self.handler.finished(
                FinishedRun(
                    id="" if result is None else result.evaluation.id,
                    model=request.model,
                    dataset=request.dataset,
                    trigger=request.trigger,
                    outcome=ended.outcome,
                    started_at=started_at,
                    ended_at=started_at + (time.monotonic() - started),
                    error=ended.reason,
                ),
                RunOutput(
                    request=request,
                    result=result,
                    load_failure=ended.error.reason if isinstance(ended.error, ModelError) else None,
                    exceeded=ended.error.limit if isinstance(ended.error, ModelLimitError) else None,
                    faults=faults,
                    thumbnails=thumbnails if thumbnails is not None and thumbnails.is_dir() else None,
                    engine_failure=ended.error.reason if isinstance(ended.error, EngineError) else None,
                ),
            )

    def _ended(self, queued: QueuedRun, outcome: Outcome) -> None:
        """Count interruptions in a row, and queue an interrupted run again."""
        with self._wake:
            if outcome != "cancelled":
                self._cancellations.pop(queued.pair, None)
                self._interruptions.pop(queued.pair, None)
            if self._preempted and outcome == "cancelled" and not self._cancel and not self._stopping:
                self._interruptions[queued.pair] = self._interruptions.get(queued.pair, 0) + 1
                following = self._queue.get(queued.pair)
                if following is None:
                    self._queue[queued.pair] = replace(queued, is_sampled=self._is_sampled)
                elif following.trigger == "schedule":
                    self._queue[queued.pair] = QueuedRun(queued.pair, queued.trigger)

    def _supervised(
        self, request: RunRequest, scratch: Path, thumbnails: Path
    ) -> tuple[Attempt, tuple[FileFault, ...]]:
        """Return the outcome of an evaluation and the files that it excluded."""
        progress_file = scratch / "progress.json"
        supervisor = Supervisor(
            self._make_process,
            scratch,
            timeout=self._timeout(),
            interrupt=lambda: self._poll(request, progress_file, supervisor.provisional_file),
        )
        return supervisor.evaluate(replace(request, progress_file=progress_file), thumbnails), supervisor.faults

    def _poll(self, request: RunRequest, progress_file: Path, provisional_file: Path) -> Attempt | None:
        """Report the progress of the running evaluation; return its outcome if it is cancelled, otherwise None."""
        pair = (request.model, request.dataset)
        if self._awaits_sample:
            self._read_provisional(request, provisional_file)
        progress = read_progress(progress_file)
        if progress is not None:
            self.handler.progressed(pair, progress.ratio)
        with self._wake:
            self._listed = None if progress is None else progress.listing
            if self._cancel or self._stopping:
                return cancelled_attempt()
            self._preempted = self._is_preempted(pair)
            return cancelled_attempt(PREEMPTED) if self._preempted else None

    def _read_provisional(self, request: RunRequest, file: Path) -> None:
        """Hand over the provisional result of the running evaluation, once its worker has written it."""
        try:
            result = read_provisional(file)
        except StorageError as error:
            result = ProvisionalFailure(str(error))
        if result is not None:
            self._awaits_sample = False
            self._is_sampled = self.handler.sampled(request, result)

    def _order(self, pair: Pair) -> tuple[int, bool]:
        """Return the key of the next pair to start, lowest first: provisional results before complete ones."""
        return self._priority(pair), self._queue[pair].is_sampled

    def _is_preempted(self, current: Pair) -> bool:
        """Return whether a queued evaluation has to start now. A scheduled one of the baseline may not be needed."""
        priority = self._priority(current)
        # Images that change all the time must not prevent the complete result of another model or dataset.
        is_often = self._interruptions.get(current, 0) >= MAX_INTERRUPTIONS
        waiting = ("schedule", "dataset") if is_often else ("schedule",)
        others = [queued for pair, queued in self._queue.items() if pair != current]
        if priority < _INTERRUPTS:
            # A long evaluation must not delay the first values of another model or dataset, and the baseline must not
            # delay those of production.
            limit = priority if self._is_sampled else priority - 1
            return any(
                not queued.is_sampled and queued.trigger not in waiting and self._priority(queued.pair) <= limit
                for queued in others
            )
        return any(
            self._priority(queued.pair) < _INTERRUPTS
            and (
                queued.trigger not in waiting
                or (not is_often and self._priority(queued.pair) == PRIORITY["production"])
            )
            for queued in others
        )

    def _run_job(self, job: BackgroundJob) -> None:
        ended = attempt(
            self._make_process(),
            job.function,
            job.arguments,
            timeout=self._timeout(),
            interrupt=lambda: cancelled_attempt() if self._queue or self._stopping else None,
        )
        with self._wake:
            if self._stopping:
                return
            if ended.outcome == "cancelled":
                self._jobs.setdefault(job.name, job)
                return
        job.done(ended)

"""Supervision of an evaluation: a file that ends or blocks its worker costs that file, not the evaluation.

The worker records which files its threads are working on. A file that exceeds the time limit, and a file that ends a
worker (crash of a decoder, memory limit), are excluded, and the evaluation runs again: images that were decoded before
come from the cache. If several files are candidates, each is tried separately; if none of them ends a worker, the
evaluation runs again with one file at a time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog

from starlight_exporter.activity import InFlight, Phase, read_activity, time_limit
from starlight_exporter.dataset.dataset import FileFault
from starlight_exporter.durations import format_duration
from starlight_exporter.errors import ModelError
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.publish.snapshot import QuarantineReason
from starlight_exporter.runs import worker
from starlight_exporter.runs.attempt import Attempt, attempt
from starlight_exporter.runs.process import WorkerCrashedError, WorkerMemoryError, WorkerProcess
from starlight_exporter.runs.worker import Work

_log = structlog.get_logger(__name__)

GRACE_SECONDS: Final = 0.5
"""An image that exceeds its limit by less is reported by the worker itself, without a restart."""
MAX_FILES: Final = 20
"""Maximum number of files that an evaluation excludes."""
MAX_MODEL_FILES: Final = 5
"""Number of files on which the model exceeds limits, at which the model itself exceeds its limits."""
MAX_UNEXPLAINED: Final = 2
"""Number of crashes without a file in progress, at which the evaluation fails."""

_VERBS: Final[dict[Phase, str]] = {
    "load": "load",
    "scan": "read",
    "decode": "decode",
    "score": "score",
    "time": "time",
    "thumbnail": "make a thumbnail of",
    "fetch": "fetch",
}


class OverdueError(Exception):
    """Threads of a worker exceeded their time limit."""

    def __init__(self, text: str, in_flight: tuple[InFlight, ...]) -> None:
        super().__init__(text)
        self.in_flight = in_flight


class _StoppedError(Exception):
    """The search for a file was cancelled or timed out; `attempt` is the outcome of the evaluation then."""

    def __init__(self, attempt: Attempt) -> None:
        super().__init__(attempt.reason)
        self.attempt = attempt


class ModelLimitError(ModelError):
    """A model exceeded its limits; `limit` is which one."""

    def __init__(self, message: str, *, limit: QuarantineReason) -> None:
        super().__init__(message, reason="limits")
        self.limit: QuarantineReason = limit


@dataclass(frozen=True, slots=True)
class _Suspect:
    """A file that may have ended or blocked a worker, and what the worker did with it."""

    path: str
    phase: Phase


class Supervisor:
    """Runs one evaluation or scan. `interrupt` returns the outcome of a run that is to be cancelled, otherwise None."""

    def __init__(
        self,
        make_process: Callable[[], WorkerProcess],
        scratch: Path,
        *,
        timeout: float,
        interrupt: Callable[[], Attempt | None],
    ) -> None:
        self._make_process = make_process
        self._scratch = scratch
        self._activity_file = scratch / "activity"
        self.provisional_file = scratch / "provisional.json"
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        self._interrupt = interrupt
        self._faults: dict[str, FileFault] = {}
        self._model_faults = 0
        self._unexplained = 0

    @property
    def faults(self) -> tuple[FileFault, ...]:
        """The files that were excluded so far."""
        return tuple(self._faults.values())

    def evaluate(self, request: RunRequest, thumbnails: Path) -> Attempt:
        """Return the outcome of an evaluation. A model that exceeds its limits ends it with ModelLimitError."""
        return self._run(request, lambda one: self._attempt(one, worker.evaluate, self._work(one, thumbnails)))

    def fingerprint(self, request: RunRequest) -> Attempt:
        """Return the outcome of a scan of the dataset, with a ScannedDataset."""
        return self._run(request, lambda one: self._attempt(one, worker.fingerprint, self._work(one, self._scratch)))

    def _run(self, request: RunRequest, start: Callable[[RunRequest], Attempt]) -> Attempt:
        while True:
            request = replace(request, faults=self.faults)
            ended = start(request)
            if isinstance(ended.error, ModelError) and ended.error.reason == "limits":
                # Refused by the operating system, before this process saw the memory in use.
                return Attempt(ended.outcome, error=ModelLimitError(str(ended.error), limit="memory"))
            if not isinstance(ended.error, OverdueError | WorkerCrashedError):
                return ended
            try:
                careful = self._explain(request, ended)
            except ModelLimitError as error:
                return Attempt(ended.outcome, error=error)
            except _StoppedError as error:
                return error.attempt
            if careful is None:
                return ended
            if len(self._faults) > MAX_FILES:
                text = f"more than {MAX_FILES} files ended the worker or exceeded the time limit: {ended.reason}"
                return Attempt("crashed", error=RuntimeError(text))
            request = careful

    def _work(self, request: RunRequest, thumbnails: Path) -> Work:
        return Work(request, thumbnails, self._activity_file, self.provisional_file)

    def _attempt(self, request: RunRequest, function: Callable[..., object], *arguments: object) -> Attempt:
        self._activity_file.unlink(missing_ok=True)
        ended = attempt(
            self._make_process(),
            function,
            arguments,
            timeout=max(0.0, self._deadline - time.monotonic()),
            interrupt=lambda: self._interrupt() or self._overdue(request),
        )
        if ended.outcome == "timeout" and isinstance(ended.error, TimeoutError):
            return replace(ended, error=TimeoutError(f"timed out after {self._timeout:g} s"))
        return ended

    def _overdue(self, request: RunRequest) -> Attempt | None:
        """Return the outcome of a worker of which a thread exceeds its time limit; None if there is none."""
        now = time.monotonic()
        late = tuple(
            one
            for one in read_activity(self._activity_file)
            if now - one.since > time_limit(one, request.limits.image_seconds) + GRACE_SECONDS
        )
        if not late:
            return None
        limit = format_duration(time_limit(late[0], request.limits.image_seconds))
        return Attempt("timeout", error=OverdueError(f"took more than {limit} to {_VERBS[late[0].phase]}", late))

    def _explain(self, request: RunRequest, ended: Attempt) -> RunRequest | None:
        """Find the files that ended or blocked a worker, and return the request to continue with.

        Returns None if no file explains it. Raises ModelLimitError if it is the model.
        """
        error = ended.error
        in_flight = error.in_flight if isinstance(error, OverdueError) else tuple(read_activity(self._activity_file))
        suspects = [_Suspect(path, one.phase) for one in in_flight for path in one.files if path not in self._faults]
        _log.warning(
            "worker ended, looking for the file",
            model=request.model,
            dataset=request.dataset,
            reason=ended.reason,
            candidates=len(suspects),
        )
        if any(one.phase == "load" and one.files for one in in_flight):
            return _without_baseline(request, ended)
        if any(_is_loading(one) for one in in_flight):
            raise _model_error(request, _failed_load(ended), ended)
        if not suspects:
            self._unexplained += 1
            return None if self._unexplained >= MAX_UNEXPLAINED else request
        one_by_one = replace(request, threads=1, batch=1)
        is_timed_pair = request.baseline is not None and any(one.phase == "time" for one in in_flight)
        if not is_timed_pair and len(suspects) == 1 and (isinstance(error, OverdueError) or request == one_by_one):
            self._exclude(request, suspects[0], ended)
            return request
        if self._exclude_guilty(request, suspects):
            return request
        if is_timed_pair:
            # The evaluated model does not fail on these images, so the baseline model does.
            return _without_baseline(request, ended)
        if request == one_by_one:
            # Only the sampled images are in progress together, and each succeeds separately.
            raise _model_error(request, f"{ended.reason} on several images", ended)
        return one_by_one

    def _exclude_guilty(self, request: RunRequest, suspects: Iterable[_Suspect]) -> bool:
        """Try each file separately in a new worker, exclude those that end or block it; return whether there are any.

        Raises _StoppedError if that is cancelled or times out.
        """
        found = False
        for suspect in suspects:
            ended = self._attempt(request, worker.probe, request, suspect.path, self._activity_file)
            if ended.outcome == "cancelled" or isinstance(ended.error, TimeoutError):
                raise _StoppedError(ended)
            if not isinstance(ended.error, OverdueError | WorkerCrashedError):
                continue
            in_flight = (
                ended.error.in_flight
                if isinstance(ended.error, OverdueError)
                else tuple(read_activity(self._activity_file))
            )
            if any(_is_loading(one) for one in in_flight):
                raise _model_error(request, _failed_load(ended), ended)
            phase = next((one.phase for one in in_flight), suspect.phase)
            self._exclude(request, _Suspect(suspect.path, phase), ended)
            found = True
        return found

    def _exclude(self, request: RunRequest, suspect: _Suspect, ended: Attempt) -> None:
        if isinstance(ended.error, OverdueError):
            fault = FileFault(suspect.path, "timeout", f"{suspect.path}: {ended.reason}", suspect.phase)
        else:
            text = f"{suspect.path}: ended the worker in the phase {suspect.phase}: {ended.reason}"
            fault = FileFault(suspect.path, "crashed", text, suspect.phase)
        self._faults[suspect.path] = fault
        _log.warning("file excluded", model=request.model, dataset=request.dataset, reason=fault.detail)
        if suspect.phase == "score":
            self._model_faults += 1
            if self._model_faults >= MAX_MODEL_FILES:
                raise _model_error(request, f"{self._model_faults} images exceeded its limits; {fault.detail}", ended)


def _without_baseline(request: RunRequest, ended: Attempt) -> RunRequest:
    """Return the request without the latency comparison; the evaluation of the baseline model reports its failure."""
    _log.warning("latency not compared with the baseline model", model=request.model, reason=ended.reason)
    return replace(request, baseline=None)


def _failed_load(ended: Attempt) -> str:
    """Return how a load failed; the reason of an overdue load already names the load."""
    return ended.reason if isinstance(ended.error, OverdueError) else f"{ended.reason} while it was loaded"


def _is_loading(one: InFlight) -> bool:
    """Return whether a model was loaded, or tried on synthetic images."""
    return one.phase == "load" or (one.phase == "score" and not one.files)


def _model_error(request: RunRequest, text: str, ended: Attempt) -> ModelLimitError:
    limit: QuarantineReason = "crashed"
    if isinstance(ended.error, OverdueError):
        limit = "time"
    elif isinstance(ended.error, WorkerMemoryError):
        limit = "memory"
    return ModelLimitError(f"{request.model_path}: {text}", limit=limit)

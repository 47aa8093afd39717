"""Attempt: one call in a worker process, with its outcome whatever it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from starlight_exporter.dataset.sources.root import RemoteRoot
from starlight_exporter.errors import StarlightError
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.publish.snapshot import Outcome
from starlight_exporter.runs.process import WorkerAnswerError, WorkerCrashedError, WorkerProcess
from starlight_exporter.runs.worker import Work

_log = structlog.get_logger(__name__)

INTERRUPT_SECONDS: Final = 0.3
CANCELLED: Final = "cancelled: the model, dataset or configuration changed, or the exporter stopped"


@dataclass(frozen=True, slots=True)
class Attempt:
    """Outcome of a call in a worker process, with its result or the error that it ended with."""

    outcome: Outcome
    result: object = None
    error: Exception | None = None

    @property
    def reason(self) -> str:
        """The error on one line; empty without one."""
        return "" if self.error is None else " ".join(str(self.error).split()) or type(self.error).__name__


def cancelled_attempt(text: str = CANCELLED) -> Attempt:
    """Return the outcome of a call that is cancelled."""
    return Attempt("cancelled", error=RuntimeError(text))


def attempt(
    process: WorkerProcess,
    function: Callable[..., object],
    arguments: tuple[object, ...],
    *,
    timeout: float,
    interrupt: Callable[[], Attempt | None],
) -> Attempt:
    """Call a function in a worker process, end the process, and return the outcome; raise no error of the call.

    `interrupt` is called about three times per second; the call ends with the outcome that it returns, if any.
    """
    deadline = time.monotonic() + timeout
    try:
        process.fetched = _remote_dataset(arguments)
        process.submit(function, *arguments)
        while not process.wait(INTERRUPT_SECONDS):
            interrupted = interrupt()
            if interrupted is not None:
                return interrupted
            if time.monotonic() > deadline:
                return Attempt("timeout", error=TimeoutError(f"timed out after {timeout:g} s"))
        return Attempt("success", process.receive())
    except WorkerCrashedError as error:
        return Attempt("crashed", error=error)
    except WorkerAnswerError as error:
        return Attempt("error", error=error)
    except Exception as error:  # noqa: BLE001  # process boundary: every error of the call becomes an outcome
        if not isinstance(error, StarlightError | OSError):
            _log.exception("unexpected error in worker process", function=getattr(function, "__name__", str(function)))
        return Attempt("error", error=error)
    finally:
        process.kill()


def _remote_dataset(arguments: tuple[object, ...]) -> RemoteRoot | None:
    """Return the remote dataset of the run in the arguments of a call, None if there is none."""
    for argument in arguments:
        request = argument.request if isinstance(argument, Work) else argument
        if isinstance(request, RunRequest) and isinstance(request.dataset_root, RemoteRoot):
            return request.dataset_root
    return None

"""Worker process: executes functions in a spawned process that only its owner ends."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Final

import structlog

from starlight_exporter.errors import StarlightError
from starlight_exporter.publish.snapshot import Outcome

_log = structlog.get_logger(__name__)

NICENESS: Final = 5
"""Scrapes take precedence over evaluations."""
POLL_SECONDS: Final = 0.3
CANCELLED: Final = "cancelled: the model, dataset or configuration changed, or the exporter stopped"


class WorkerCrashedError(Exception):
    """The worker process ended before it returned a result."""


class WorkerProcess:
    """Executes one function at a time in a process that starts with the first call. Not thread-safe.

    A process that has been idle for `idle_seconds` ends, and the next call starts another. It ends with its parent.
    """

    def __init__(self, *, idle_seconds: float | None = None) -> None:
        self._idle_seconds = idle_seconds
        self._process: SpawnProcess | None = None
        self._connection: Connection[Any, Any] | None = None

    def submit(self, function: Callable[..., object], *arguments: object) -> None:
        """Start a call. Raises WorkerCrashedError if the process has just ended, OSError if none can be started."""
        if self._connection is None or self._process is None or not self._process.is_alive():
            self.kill()
            # A forked process would inherit locks that other threads hold.
            context = multiprocessing.get_context("spawn")
            self._connection, remote = context.Pipe()
            self._process = context.Process(target=_serve, args=(remote, self._idle_seconds), daemon=True)
            try:
                self._process.start()
            finally:
                remote.close()
        try:
            self._connection.send((function, arguments))
        except BrokenPipeError as error:
            self.kill()
            raise WorkerCrashedError from error

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the call; return whether `receive` returns at once."""
        assert self._connection is not None
        return self._connection.poll(seconds)

    def receive(self) -> object:
        """Return the result of the call or raise its exception; WorkerCrashedError if the process ended."""
        assert self._connection is not None
        try:
            result, error = self._connection.recv()
        except (EOFError, OSError) as ended:
            self.kill()
            raise WorkerCrashedError from ended
        if error is not None:
            raise error
        return result

    def kill(self) -> None:
        """End the process, if there is one."""
        if self._process is not None and self._process.pid is not None:
            self._process.kill()
            self._process.join(5)
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None


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


def attempt(
    process: WorkerProcess,
    function: Callable[..., object],
    arguments: tuple[object, ...],
    *,
    timeout: float,
    cancelled: Callable[[], bool],
) -> Attempt:
    """Call a function in a worker process, end the process, and return the outcome; raise no error of the call.

    `cancelled` is called about three times per second.
    """
    deadline = time.monotonic() + timeout
    try:
        process.submit(function, *arguments)
        while not process.wait(POLL_SECONDS):
            if cancelled():
                return Attempt("cancelled", error=RuntimeError(CANCELLED))
            if time.monotonic() > deadline:
                return Attempt("timeout", error=TimeoutError(f"timed out after {timeout:g} s"))
        return Attempt("success", process.receive())
    except WorkerCrashedError:
        return Attempt("crashed", error=RuntimeError("worker process ended unexpectedly"))
    except Exception as error:  # noqa: BLE001  # process boundary: every error of the call becomes an outcome
        if not isinstance(error, StarlightError | OSError):
            _log.exception("unexpected error in worker process", function=getattr(function, "__name__", str(function)))
        return Attempt("error", error=error)
    finally:
        process.kill()


def _serve(connection: Connection[Any, Any], idle_seconds: float | None) -> None:
    # Ctrl-C reaches the whole process group; the owner decides what ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    with suppress(EOFError, OSError):
        while connection.poll(idle_seconds):
            function, arguments = connection.recv()
            answer = _call(function, arguments)
            try:
                connection.send(answer)
            except (pickle.PicklingError, TypeError, AttributeError) as error:
                connection.send((None, RuntimeError(f"result cannot be sent to another process: {error}")))


def _call(function: Callable[..., object], arguments: tuple[object, ...]) -> tuple[object, Exception | None]:
    try:
        return function(*arguments), None
    except Exception as error:  # noqa: BLE001  # process boundary: raised again in the owner's process
        error.add_note(traceback.format_exc())
        return None, error


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

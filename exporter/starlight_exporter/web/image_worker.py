"""A worker process that decodes images for pages, one request at a time.

Decoders run neither in the process that serves scrapes nor in the threads of an evaluation. A file that hangs or
crashes the decoder costs its page the image and nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TypeVar, cast

import structlog

from starlight_exporter.dataset.sources.root import RemoteRoot
from starlight_exporter.errors import ImageError, StarlightError
from starlight_exporter.evaluation.request import DEFAULT_WORKER_MEMORY
from starlight_exporter.runs.process import WorkerCrashedError, WorkerMemoryError, WorkerProcess

CALL_SECONDS: Final = 20.0
IDLE_SECONDS: Final = 120.0
MAX_WAITING: Final = 64
"""One page requests up to 60 thumbnails at once."""
THREADS: Final = MAX_WAITING + 8
"""Threads for callers: more than may wait, so that a rejected request gets its response at once."""

_log = structlog.get_logger(__name__)
_Result = TypeVar("_Result")


class ImageWorker:
    """Call functions in a process that starts with the first call and exits when it has been idle for a while."""

    def __init__(
        self,
        *,
        memory_bytes: Callable[[], int] = lambda: DEFAULT_WORKER_MEMORY,
        call_seconds: float = CALL_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._memory_bytes = memory_bytes
        self._call_seconds = call_seconds
        self._turn = threading.Lock()
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)
        self._idle_seconds = idle_seconds
        self._processes: dict[RemoteRoot | None, WorkerProcess] = {}

    def call(self, function: Callable[..., _Result], *arguments: object) -> _Result:
        """Return the function's result; a StarlightError that it raises is raised here.

        ImageError `timeout` if it takes too long or too many calls wait, `crashed` if the process ends, `unreadable` if
        the function fails unexpectedly.
        """
        if not self._waiting.acquire(blocking=False):
            raise ImageError("too many image requests", reason="timeout")
        try:
            with self._turn:
                return cast(_Result, self._call(self._process(arguments), function, arguments))
        finally:
            self._waiting.release()

    def _process(self, arguments: tuple[object, ...]) -> WorkerProcess:
        """Return the process for a call: each remote dataset in the arguments has its own, with a fetcher."""
        remote = next((one for one in arguments if isinstance(one, RemoteRoot)), None)
        process = self._processes.get(remote)
        if process is None:
            process = self._processes[remote] = WorkerProcess(idle_seconds=self._idle_seconds)
            process.fetched = remote
        return process

    def _call(self, process: WorkerProcess, function: Callable[..., object], arguments: tuple[object, ...]) -> object:
        process.memory_bytes = self._memory_bytes()
        crash = ""
        # A second attempt, because an idle process may just have exited: not the file's fault.
        for _ in range(2):
            try:
                process.submit(function, *arguments)
                if process.wait(self._call_seconds):
                    return process.receive()
            except WorkerMemoryError as error:
                raise ImageError(str(error), reason="crashed") from error
            except WorkerCrashedError as error:
                crash = str(error)
                continue
            except StarlightError:
                raise
            except Exception as error:
                _log.exception("unexpected error in image worker")
                raise ImageError(f"unexpected {type(error).__name__}", reason="unreadable") from error
            process.kill()
            raise ImageError(f"timed out after {self._call_seconds:g} s", reason="timeout")
        raise ImageError(f"the decoder crashed: {crash}", reason="crashed")

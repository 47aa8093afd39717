"""A worker process that decodes images for pages, one request at a time.

Decoders run neither in the process that serves scrapes nor in the threads of an evaluation. A file that hangs or
crashes the decoder costs its page the image and nothing else.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any, Final, TypeVar

from starlight_exporter.errors import ImageError, StarlightError
from starlight_exporter.runs.worker import start_worker

CALL_SECONDS: Final = 20.0
IDLE_SECONDS: Final = 120.0
MAX_WAITING: Final = 64
"""One page requests up to 60 thumbnails at once."""
THREADS: Final = MAX_WAITING + 8
"""Threads for callers: more than may wait, so that a rejected request gets its response at once."""

_Result = TypeVar("_Result")


class ImageWorker:
    """Call functions in a process that starts with the first call and exits when it has been idle for a while."""

    def __init__(self, *, call_seconds: float = CALL_SECONDS, idle_seconds: float = IDLE_SECONDS) -> None:
        self._call_seconds = call_seconds
        self._idle_seconds = idle_seconds
        self._turn = threading.Lock()
        self._waiting = threading.BoundedSemaphore(MAX_WAITING)
        self._process: SpawnProcess | None = None
        self._connection: Connection[Any, Any] | None = None

    def call(self, function: Callable[..., _Result], *arguments: object) -> _Result:
        """Return the function's result; a StarlightError that it raises is raised here.

        ImageError `timeout` if it takes too long or too many calls wait, `unreadable` if the process crashes.
        """
        if not self._waiting.acquire(blocking=False):
            raise ImageError("too many image requests", reason="timeout")
        try:
            with self._turn:
                return self._call(function, arguments)
        finally:
            self._waiting.release()

    def _call(self, function: Callable[..., _Result], arguments: tuple[object, ...]) -> _Result:
        answer = None
        # A second attempt, because an idle process may just have exited or have been killed: not the file's fault.
        for _ in range(2):
            connection = self._connect()
            try:
                connection.send((function, arguments))
                if not connection.poll(self._call_seconds):
                    self._kill()
                    raise ImageError(f"timed out after {self._call_seconds:g} s", reason="timeout")
                answer = connection.recv()
                break
            except (EOFError, OSError):
                self._kill()
        if answer is None:
            raise ImageError("the decoder crashed", reason="unreadable")
        if isinstance(answer, StarlightError):
            raise answer
        result: _Result = answer[0]
        return result

    def _connect(self) -> Connection[Any, Any]:
        if self._connection is None or self._process is None or not self._process.is_alive():
            self._kill()
            context = multiprocessing.get_context("spawn")
            own, other = context.Pipe()
            self._process = context.Process(target=_serve, args=(other, self._idle_seconds), daemon=True)
            self._process.start()
            other.close()
            self._connection = own
        return self._connection

    def _kill(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            self._process.kill()
            self._process.join(5)
            self._process = None


def _serve(connection: Connection[Any, Any], idle_seconds: float) -> None:
    start_worker()
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while connection.poll(idle_seconds):
            function, arguments = connection.recv()
            try:
                connection.send((function(*arguments),))
            except StarlightError as error:
                connection.send(error)

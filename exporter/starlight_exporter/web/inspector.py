"""A worker process that opens images for pages, on request and one at a time.

Decoders run neither in the process that serves scrapes nor among an evaluation's threads; one that hangs or crashes on
a file costs that page its picture.
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
MOST_WAITING: Final = 64
"""A page asks for up to 60 thumbnails at once."""
THREADS: Final = MOST_WAITING + 8
"""For those who call: more than may wait, so that one too many is told at once."""

_Result = TypeVar("_Result")


class Inspector:
    """Calls functions in its process, which starts with the first call and ends by itself when it has nothing to do."""

    def __init__(self, *, call_seconds: float = CALL_SECONDS, idle_seconds: float = IDLE_SECONDS) -> None:
        self._call_seconds = call_seconds
        self._idle_seconds = idle_seconds
        self._turn = threading.Lock()
        self._places = threading.BoundedSemaphore(MOST_WAITING)
        self._process: SpawnProcess | None = None
        self._connection: Connection[Any, Any] | None = None

    def call(self, function: Callable[..., _Result], *arguments: object) -> _Result:
        """A function's result; what it raises of StarlightError passes through.

        ImageError `timeout` where it takes too long or too many wait, `unreadable` where the process dies over it.
        """
        if not self._places.acquire(blocking=False):
            raise ImageError("too many pictures are asked for at once", reason="timeout")
        try:
            with self._turn:
                return self._call(function, arguments)
        finally:
            self._places.release()

    def _call(self, function: Callable[..., _Result], arguments: tuple[object, ...]) -> _Result:
        answer = None
        # An idle process may just have ended, and a cancelled evaluation ends every child: not the file's fault.
        for _ in range(2):
            connection = self._connected()
            try:
                connection.send((function, arguments))
                if not connection.poll(self._call_seconds):
                    self._end()
                    raise ImageError(f"took longer than {self._call_seconds:g} s", reason="timeout")
                answer = connection.recv()
                break
            except (EOFError, OSError):
                self._end()
        if answer is None:
            raise ImageError("the decoder died over this file", reason="unreadable")
        if isinstance(answer, StarlightError):
            raise answer
        result: _Result = answer[0]
        return result

    def _connected(self) -> Connection[Any, Any]:
        if self._connection is None or self._process is None or not self._process.is_alive():
            self._end()
            context = multiprocessing.get_context("spawn")
            here, there = context.Pipe()
            self._process = context.Process(target=_serve, args=(there, self._idle_seconds), daemon=True)
            self._process.start()
            there.close()
            self._connection = here
        return self._connection

    def _end(self) -> None:
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

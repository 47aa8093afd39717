"""Worker process: executes functions in another process, within a memory limit, that only its owner ends."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from typing import Any, Final

from starlight_exporter.dataset.sources.fetcher import start_fetcher
from starlight_exporter.dataset.sources.root import RemoteRoot
from starlight_exporter.evaluation.request import DEFAULT_WORKER_MEMORY
from starlight_exporter.formatting import size
from starlight_exporter.process_isolation import GROUP_SIGNALS
from starlight_exporter.runs.memory import anonymous_bytes
from starlight_exporter.runs.memory_group import MemoryGroup, create_memory_group
from starlight_exporter.runs.worker_server import Answer

POLL_SECONDS: Final = 0.1
"""Interval at which the memory of a busy process is checked."""
MAX_ANSWER_BYTES: Final = 1024**3


class WorkerCrashedError(Exception):
    """The worker process ended before it returned a result; the text names the signal, exit code or limit."""


class WorkerMemoryError(WorkerCrashedError):
    """The worker process was ended because it exceeded its memory limit."""


class WorkerAnswerError(Exception):
    """The result of the call cannot be read."""


@dataclass(frozen=True, slots=True)
class Isolation:
    """Whether a worker process has a network namespace and a memory control group of its own."""

    network: bool
    memory: bool


class WorkerProcess:
    """Executes one function at a time in a process that starts with the first call. Not thread-safe.

    A process that has been idle for `idle_seconds` ends, and the next call starts another. It ends with its parent,
    and during a call when it uses more than `memory_bytes` of anonymous memory: this process ends it, or the kernel,
    where it has a memory control group. It keeps its network only with `network`. `report_isolation` is called with
    every answer.
    """

    def __init__(
        self,
        *,
        memory_bytes: int = DEFAULT_WORKER_MEMORY,
        network: bool = False,
        idle_seconds: float | None = None,
        report_isolation: Callable[[Isolation], None] = lambda _isolation: None,
    ) -> None:
        self.memory_bytes = memory_bytes
        self._network = network
        self._idle_seconds = idle_seconds
        self._report_isolation = report_isolation
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None
        self._group: MemoryGroup | None = None
        self._end: Callable[[], object] | None = None
        self._exceeded = False
        self.fetched: RemoteRoot | None = None
        """Dataset that the next process reads through a fetcher, because it has no network."""

    def submit(self, function: Callable[..., object], *arguments: object) -> None:
        """Start a call. Raises WorkerCrashedError if the process has just ended, OSError if none can be started."""
        if self._process is None or self._process.poll() is not None:
            self.kill()
            self._start()
        assert self._connection is not None
        try:
            self._connection.send((function, arguments))
        except ConnectionError as error:
            raise self._crashed() from error

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the call; return whether `receive` returns at once."""
        assert self._connection is not None
        deadline = time.monotonic() + seconds
        while not self._connection.poll(max(0.0, min(POLL_SECONDS, deadline - time.monotonic()))):
            self._enforce_memory_limit()
            if time.monotonic() >= deadline:
                return False
        return True

    def receive(self) -> object:
        """Return the result of the call or raise its exception.

        Raises WorkerCrashedError if the process ended, WorkerAnswerError if the result is too large or not readable.
        """
        assert self._connection is not None
        try:
            data = self._connection.recv_bytes(MAX_ANSWER_BYTES)
        except (EOFError, OSError) as error:
            if str(error) == "bad message length":
                self.kill()
                raise WorkerAnswerError(f"the result is larger than {size(MAX_ANSWER_BYTES)}") from error
            raise self._crashed() from error
        try:
            answer = pickle.loads(data)
        except Exception as error:
            # Unpickling calls constructors of any class.
            raise WorkerAnswerError(f"the result cannot be read: {type(error).__name__}: {error}") from error
        if not isinstance(answer, Answer):
            raise WorkerAnswerError("the result cannot be read: not an answer of a worker process")
        self._report_isolation(Isolation(network=answer.network_isolated, memory=self._group is not None))
        if answer.error is not None:
            raise answer.error
        return answer.result

    def kill(self) -> None:
        """End the process, if there is one."""
        if self._end is not None:
            self._end()
        self._process = self._connection = self._group = self._end = None

    def _start(self) -> None:
        self._exceeded = False
        connection, remote = Pipe()
        reader, liveness = os.pipe()
        group = create_memory_group(self.memory_bytes)
        process = None
        fetcher: tuple[subprocess.Popen[bytes], Connection[Any, Any]] | None = None
        # Blocked until the worker ignores them: a signal to the process group must not end it while it starts.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, GROUP_SIGNALS)
        try:
            inherited = [remote.fileno(), reader]
            arguments = [*map(str, inherited), str(self.memory_bytes), str(self._idle_seconds or 0)]
            arguments.append("network" if self._network else "isolated")
            if self.fetched is not None:
                fetcher = start_fetcher(self.fetched)
                inherited.append(fetcher[1].fileno())
                arguments += [str(fetcher[1].fileno()), self.fetched.url]
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "starlight_exporter.runs.worker_main", *arguments],
                stdin=subprocess.DEVNULL,
                pass_fds=inherited,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},  # noqa: PTH109
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            remote.close()
            os.close(reader)
            if fetcher is not None:
                # The fetcher ends with the worker, which has the only other end of its connection.
                fetcher[1].close()
            if process is None:
                connection.close()
                os.close(liveness)
                if group is not None:
                    group.remove()
        self._process, self._connection = process, connection
        # Also when this object is no longer used, and at the end of the interpreter.
        self._end = weakref.finalize(self, _end, process, connection, liveness, group, fetcher and fetcher[0])
        self._group = group if group is not None and group.add(process.pid) else None

    def _enforce_memory_limit(self) -> None:
        """End the process if it exceeds its memory limit."""
        if self._process is not None and anonymous_bytes(self._process.pid) > self.memory_bytes:
            self._exceeded = True
            self._process.kill()

    def _crashed(self) -> WorkerCrashedError:
        """Return the error of a process that has ended, and clean up."""
        code = None
        if self._process is not None:
            # It may have closed the connection without ending.
            with suppress(subprocess.TimeoutExpired):
                code = self._process.wait(1)
        exceeded = self._exceeded or (self._group is not None and self._group.kills() > 0)
        self.kill()
        if exceeded:
            return WorkerMemoryError(f"worker exceeded its memory limit of {size(self.memory_bytes)}")
        if code is None:
            return WorkerCrashedError("worker ended unexpectedly")
        if code < 0:
            return WorkerCrashedError(f"worker ended by signal {-code} ({signal.strsignal(-code)})")
        return WorkerCrashedError(f"worker ended with exit code {code}")


def _end(
    process: subprocess.Popen[bytes],
    connection: Connection[Any, Any],
    liveness: int,
    group: MemoryGroup | None,
    fetcher: subprocess.Popen[bytes] | None,
) -> None:
    for one in (process, fetcher):
        if one is not None:
            one.kill()
            one.wait()
    connection.close()
    os.close(liveness)
    if group is not None:
        group.remove()

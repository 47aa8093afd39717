"""Signals received by the main thread while it waits for them."""

from __future__ import annotations

import select
import signal
import socket
from collections.abc import Iterable
from types import TracebackType
from typing import Self


class SignalReceiver:
    """Receives signals in place of their default action. Create and use it in the main thread.

    The kernel may interrupt any thread, and Python then runs the handler only when the main thread next executes
    bytecode: a main thread that blocks on a lock or an event would never notice. The interpreter therefore also writes
    the number to a socket (`signal.set_wakeup_fd`), which does wake it.
    """

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._numbers = frozenset(numbers)

    def __enter__(self) -> Self:
        """Receive signals from now on."""
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._previous = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in self._numbers:
            signal.signal(number, lambda _number, _frame: None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ignore further signals: the process is stopping already."""
        signal.set_wakeup_fd(self._previous)
        self._writer.close()
        self._reader.close()

    def wait(self, seconds: float | None = None) -> signal.Signals | None:
        """Return the next signal; None after `seconds`, or after `wake`."""
        while select.select([self._reader], [], [], seconds)[0]:
            number = self._reader.recv(1)[0]
            if number in self._numbers:
                return signal.Signals(number)
            if number == 0:
                return None
        return None

    def wake(self) -> None:
        """End the current or next `wait`; any thread may call this."""
        self._writer.send(bytes(1))

"""Signals wake the main thread, whichever thread the kernel interrupts."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from starlight_exporter.signals import SignalReceiver


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGUSR1)
    yield
    signal.signal(signal.SIGUSR1, before)


def test_signal_that_interrupts_another_thread_is_received() -> None:
    end = threading.Event()
    other = threading.Thread(target=end.wait)
    other.start()
    assert other.ident is not None
    with SignalReceiver((signal.SIGUSR1,)) as signals:
        later = threading.Timer(0.2, signal.pthread_kill, (other.ident, signal.SIGUSR1))
        later.start()
        assert signals.wait(60) == signal.SIGUSR1
    end.set()
    other.join()
    later.join()


def test_wait_ends_after_its_time_and_when_another_thread_wakes_it() -> None:
    with SignalReceiver((signal.SIGUSR1,)) as signals:
        assert signals.wait(0.0) is None
        later = threading.Timer(0.2, signals.wake)
        later.start()
        assert signals.wait() is None
        later.join()


def test_signals_are_received_in_their_order_and_later_ones_are_ignored() -> None:
    with SignalReceiver((signal.SIGUSR1, signal.SIGUSR2)) as signals:
        signal.raise_signal(signal.SIGUSR2)
        signal.raise_signal(signal.SIGUSR1)
        assert [signals.wait(), signals.wait()] == [signal.SIGUSR2, signal.SIGUSR1]
    signal.raise_signal(signal.SIGUSR1)
    signal.signal(signal.SIGUSR2, signal.SIG_DFL)

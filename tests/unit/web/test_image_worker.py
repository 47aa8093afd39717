"""The image worker: results, errors, crashes, timeouts and idle exit."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from starlight_exporter.errors import ImageError
from starlight_exporter.web.image_worker import ImageWorker
from support.waiting import wait_until

pytestmark = pytest.mark.slow


def process_id() -> int:
    return os.getpid()


def refuse(text: str) -> None:
    raise ImageError(text, reason="unreadable")


def crash() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang() -> None:
    threading.Event().wait()


@pytest.fixture
def worker() -> Iterator[ImageWorker]:
    found = ImageWorker(call_seconds=20.0)
    yield found
    for child in psutil.Process().children():
        if "worker_main" in " ".join(child.cmdline()):
            child.kill()
            child.wait(10)


def test_one_process_serves_all_calls(worker: ImageWorker) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: worker.call(process_id), range(16)))
    assert len(set(answers)) == 1
    assert answers[0] != os.getpid()


def test_starlight_error_is_raised_and_process_is_kept(worker: ImageWorker) -> None:
    before = worker.call(process_id)
    with pytest.raises(ImageError, match="no such plane") as error:
        worker.call(refuse, "no such plane")
    assert error.value.reason == "unreadable"
    assert worker.call(process_id) == before


def test_crash_is_reported_and_process_is_replaced(worker: ImageWorker) -> None:
    before = worker.call(process_id)
    with pytest.raises(ImageError, match="the decoder crashed"):
        worker.call(crash)
    assert worker.call(process_id) != before


def test_process_killed_while_idle_is_replaced(worker: ImageWorker) -> None:
    before = worker.call(process_id)
    psutil.Process(before).kill()
    assert worker.call(process_id) != before


def test_call_is_terminated_after_timeout() -> None:
    worker = ImageWorker(call_seconds=10.0)
    before = worker.call(process_id)
    with pytest.raises(ImageError, match="timed out after 10 s") as error:
        worker.call(hang)
    assert error.value.reason == "timeout"
    assert not psutil.pid_exists(before) or psutil.Process(before).status() == "zombie"


def test_idle_process_exits() -> None:
    worker = ImageWorker(idle_seconds=0.2)
    first = worker.call(process_id)
    wait_until(lambda: not psutil.pid_exists(first) or psutil.Process(first).status() == "zombie", "process exited")
    assert worker.call(process_id) != first

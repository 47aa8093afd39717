"""The process that opens images: answers, passes errors on, survives crashes and hangs, and ends when idle."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from starlight_exporter.errors import ImageError
from starlight_exporter.web.inspector import Inspector


def process_id() -> int:
    return os.getpid()


def refuse(text: str) -> None:
    raise ImageError(text, reason="unreadable")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang() -> None:
    time.sleep(600)


@pytest.fixture
def inspector() -> Iterator[Inspector]:
    found = Inspector(call_seconds=20.0)
    yield found
    for child in psutil.Process().children():
        if "spawn_main" in " ".join(child.cmdline()):
            child.kill()
            child.wait(10)


def test_one_process_answers_all_calls(inspector: Inspector) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: inspector.call(process_id), range(16)))
    assert len(set(answers)) == 1
    assert answers[0] != os.getpid()


def test_an_error_passes_through_and_harms_nobody(inspector: Inspector) -> None:
    before = inspector.call(process_id)
    with pytest.raises(ImageError, match="no such plane") as error:
        inspector.call(refuse, "no such plane")
    assert error.value.reason == "unreadable"
    assert inspector.call(process_id) == before


def test_a_process_that_dies_over_a_file_is_told_and_replaced(inspector: Inspector) -> None:
    before = inspector.call(process_id)
    with pytest.raises(ImageError, match="the decoder died"):
        inspector.call(die)
    assert inspector.call(process_id) != before


def test_a_process_that_was_ended_from_outside_is_replaced_unseen(inspector: Inspector) -> None:
    before = inspector.call(process_id)
    psutil.Process(before).kill()
    assert inspector.call(process_id) != before


def test_a_call_that_takes_too_long_is_ended() -> None:
    inspector = Inspector(call_seconds=10.0)
    before = inspector.call(process_id)
    with pytest.raises(ImageError, match="took longer than 10 s") as error:
        inspector.call(hang)
    assert error.value.reason == "timeout"
    assert not psutil.pid_exists(before) or psutil.Process(before).status() == "zombie"


def test_an_idle_process_ends_by_itself() -> None:
    inspector = Inspector(idle_seconds=0.2)
    first = inspector.call(process_id)
    deadline = time.monotonic() + 20
    while psutil.pid_exists(first) and psutil.Process(first).status() != "zombie":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert inspector.call(process_id) != first

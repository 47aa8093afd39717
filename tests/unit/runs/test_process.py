"""Worker process: it ends when idle and with its parent, and an unusable call does not end it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from starlight_exporter.errors import DatasetError
from starlight_exporter.runs import worker
from starlight_exporter.runs.process import WorkerCrashedError, WorkerProcess
from support.waiting import wait_until

pytestmark = pytest.mark.slow

WAIT = 60.0
PARENT = """
import os, signal
from starlight_exporter.runs.process import WorkerProcess

if __name__ == "__main__":
    process = WorkerProcess()
    process.submit(os.getpid)
    process.wait(60)
    print(process.receive(), flush=True)
    process.submit(signal.pause)
    signal.pause()
"""


@pytest.fixture
def process() -> Iterator[WorkerProcess]:
    started = WorkerProcess()
    yield started
    started.kill()


def call(process: WorkerProcess, function: Callable[..., object], *arguments: object) -> object:
    process.submit(function, *arguments)
    assert process.wait(WAIT)
    return process.receive()


def is_running(pid: object) -> bool:
    assert isinstance(pid, int)
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_one_process_serves_several_calls(process: WorkerProcess) -> None:
    first = call(process, os.getpid)
    assert first != os.getpid()
    with pytest.raises(DatasetError):
        call(process, worker.fingerprint, "a", Path("/nowhere/at/all"))
    assert call(process, os.getpid) == first


def test_error_has_the_traceback_of_the_worker(process: WorkerProcess) -> None:
    with pytest.raises(ZeroDivisionError) as error:
        call(process, divmod, 1, 0)
    assert "Traceback" in error.value.__notes__[0]


def test_call_after_a_crash_starts_another_process(process: WorkerProcess) -> None:
    first = call(process, os.getpid)
    with pytest.raises(WorkerCrashedError):
        call(process, os._exit, 1)
    assert not is_running(first)
    assert call(process, os.getpid) != first


def test_kill_ends_the_process(process: WorkerProcess) -> None:
    pid = call(process, os.getpid)
    process.kill()
    assert not is_running(pid)
    process.kill()


def test_process_ends_with_its_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.kill()
    wait_until(lambda: not is_running(pid))

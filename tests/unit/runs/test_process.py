"""Worker process: limits, isolation and end; an unusable call does not end it."""

from __future__ import annotations

import ctypes
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from starlight_exporter.errors import ImageError
from starlight_exporter.process_isolation import GROUP_SIGNALS
from starlight_exporter.runs import worker
from starlight_exporter.runs.process import Isolation, WorkerCrashedError, WorkerMemoryError, WorkerProcess
from support.waiting import wait_until

pytestmark = pytest.mark.slow

WAIT = 60.0
MIB = 1024 * 1024
PARENT = """
import signal, sys
from starlight_exporter.runs.process import WorkerProcess
from support.busy import hold_the_interpreter, sleep_in_python

if __name__ == "__main__":
    process = WorkerProcess()
    process.submit({function})
    print(process._process.pid, flush=True)
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


def allocate(size: int) -> int:
    """Write to this many bytes, then wait."""
    data = bytearray(size)
    time.sleep(WAIT)
    return len(data)


def interfaces() -> list[str]:
    return [name for _, name in socket.if_nameindex()]


def own_groups() -> str:
    return Path("/proc/self/cgroup").read_text()


def limits() -> tuple[int, int]:
    return resource.getrlimit(resource.RLIMIT_CORE)


def environment(name: str) -> str | None:
    return os.environ.get(name)


def test_one_process_serves_several_calls(process: WorkerProcess) -> None:
    first = call(process, os.getpid)
    assert first != os.getpid()
    with pytest.raises(ImageError):
        call(process, worker.thumbnail, Path("/nowhere/at/all"), "a.png", "0" * 64, 1024, 1024)
    assert call(process, os.getpid) == first


def test_error_has_the_traceback_of_the_worker(process: WorkerProcess) -> None:
    with pytest.raises(ZeroDivisionError) as error:
        call(process, divmod, 1, 0)
    assert "Traceback" in error.value.__notes__[0]


@pytest.mark.parametrize(
    ("function", "arguments", "text"),
    [
        (os._exit, (3,), "worker ended with exit code 3"),
        (signal.raise_signal, (signal.SIGSEGV,), r"worker ended by signal 11 \(Segmentation fault\)"),
        (ctypes.string_at, (1,), r"worker ended by signal 11 \(Segmentation fault\)"),
    ],
)
def test_call_after_a_crash_starts_another_process(
    process: WorkerProcess, function: Callable[..., object], arguments: tuple[object, ...], text: str
) -> None:
    first = call(process, os.getpid)
    with pytest.raises(WorkerCrashedError, match=text):
        call(process, function, *arguments)
    assert not is_running(first)
    assert call(process, os.getpid) != first


def test_kill_ends_the_process(process: WorkerProcess) -> None:
    pid = call(process, os.getpid)
    process.kill()
    assert not is_running(pid)
    process.kill()


def test_process_that_exceeds_its_memory_limit_is_ended() -> None:
    process = WorkerProcess(memory_bytes=300 * MIB)
    started = time.monotonic()
    try:
        with pytest.raises(WorkerMemoryError, match=r"worker exceeded its memory limit of 300\.0 MiB"):
            call(process, allocate, 400 * MIB)
        # Not at the end of the call.
        assert time.monotonic() - started < WAIT
        assert call(process, len, "abc") == 3
    finally:
        process.kill()


def test_single_allocation_far_beyond_the_limit_fails() -> None:
    process = WorkerProcess(memory_bytes=300 * MIB)
    try:
        with pytest.raises(MemoryError):
            call(process, bytearray, 4096 * MIB)
    finally:
        process.kill()


def test_process_reports_its_isolation() -> None:
    reported: list[Isolation] = []
    process = WorkerProcess(report_isolation=reported.append)
    try:
        found = call(process, interfaces)
        groups = call(process, own_groups)
    finally:
        process.kill()
    # Not every system allows it; what is reported must be true.
    assert {one.network for one in reported} == {found == ["lo"]}
    assert {one.memory for one in reported} == {f"/starlight-worker-{os.getpid()}-" in str(groups)}
    if os.getuid() == 0:
        assert reported[0].network


def test_process_writes_no_core_files_and_sends_no_telemetry(process: WorkerProcess) -> None:
    assert call(process, limits) == (0, 0)
    assert call(process, environment, "ORT_DISABLE_TELEMETRY") == "1"


@pytest.mark.parametrize("number", GROUP_SIGNALS)
def test_signal_to_the_process_group_does_not_end_the_process(process: WorkerProcess, number: signal.Signals) -> None:
    process.submit(os.getpid)
    (child,) = (one for one in psutil.Process().children() if "worker_main" in " ".join(one.cmdline()))
    # While it starts, and afterwards.
    child.send_signal(number)
    assert process.wait(WAIT)
    pid = process.receive()
    child.send_signal(number)
    assert call(process, os.getpid) == pid == child.pid


@pytest.mark.parametrize("function", ["sleep_in_python", "hold_the_interpreter"])
def test_process_ends_with_its_parent(tmp_path: Path, function: str) -> None:
    """The parent is killed at a random time: while the worker starts, and while C code holds the interpreter."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT.format(function=function))
    generator = random.Random(1)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    for _ in range(6):
        command = [sys.executable, str(script)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as parent:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
            time.sleep(generator.uniform(0.0, 1.0))
            parent.kill()
        wait_until(lambda pid=pid: not is_running(pid))  # type: ignore[misc]

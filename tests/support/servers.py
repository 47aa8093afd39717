"""Real servers on free loopback ports; each is stopped by its process ID."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import pytest

from support.waiting import TIMEOUT, wait_until

STOP_TIMEOUT = 20.0
PROMETHEUS_3 = Path(__file__).parents[1] / "prometheus_3"
"""Folder of the unpacked Prometheus 3, its Alertmanager, and VictoriaMetrics."""


def free_port() -> int:
    """Return a free TCP port on 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(name: str) -> str:
    """Return the path of a program; skip the test if it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def newer_program(name: str) -> str:
    """Return the path of a program next to Prometheus 3; skip the test if it is not installed."""
    found = PROMETHEUS_3 / "usr" / "bin" / name
    if not found.exists():
        pytest.skip(f"{name} is not installed: run {PROMETHEUS_3 / 'fetch'}")
    return str(found)


def put_prometheus_3_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put Prometheus 3 and its Alertmanager first in PATH; skip the test if they are not installed."""
    folder = PROMETHEUS_3 / "usr" / "bin"
    if not folder.is_dir():
        pytest.skip(f"Prometheus 3 is not installed: run {PROMETHEUS_3 / 'fetch'}")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


class Server:
    """A child process that is ready when `ready_path` returns 200. Its output goes to a log file."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        port: int,
        ready_path: str,
        log: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self._ready_path = ready_path
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=None if environment is None else {**os.environ, **environment},
            )

    def wait_ready(self, timeout: float = TIMEOUT) -> Self:
        """Wait until the server is ready. Raise AssertionError with the end of its log on exit or timeout."""

        def ready() -> bool:
            assert self.process.poll() is None, f"exited with code {self.process.poll()}"
            try:
                return httpx.get(self.url + self._ready_path, timeout=2.0).status_code == 200
            except httpx.TransportError:
                return False

        try:
            wait_until(ready, "server ready", timeout=timeout)
        except AssertionError as error:
            self.stop()
            raise AssertionError(f"{error}\n{self.log.read_text(errors='replace')[-4000:]}") from error
        return self

    def stop(self) -> int:
        """Stop the process (SIGTERM, then SIGKILL) and return its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


class QueryServer(Server):
    """A server with the query API of Prometheus."""

    def query(self, expression: str, *, at: float | None = None) -> list[dict[str, Any]]:
        """Return the result of an instant query, at a time in UTC seconds or now."""
        return self._ask("/api/v1/query", {"query": expression} | ({} if at is None else {"time": f"{at:.3f}"}))

    def query_range(self, expression: str, *, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Return the result of a range query; times are UTC seconds."""
        times = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:g}"}
        return self._ask("/api/v1/query_range", {"query": expression} | times)

    def value(self, expression: str, *, at: float | None = None) -> float | None:
        """Return the value of an instant query, or None without result. Raise AssertionError for several series."""
        result = self.query(expression, at=at)
        assert len(result) <= 1, f"{expression} returns {len(result)} series"
        return float(result[0]["value"][1]) if result else None

    def wait_for_value(self, expression: str, *, timeout: float = TIMEOUT) -> float:
        """Wait until an expression has a value and return it."""
        return wait_until(lambda: self.value(expression), f"value of {expression}", timeout=timeout, interval=0.2)

    def _ask(self, path: str, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
        answer = httpx.get(self.url + path, params=dict(parameters), timeout=10.0).json()
        assert answer["status"] == "success", answer
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result


class Prometheus(QueryServer):
    """A Prometheus with its own configuration and data folder. Ready on return."""

    def __init__(
        self, config: Path, data: Path, *, log: Path, flags: Sequence[str] = (), port: int | None = None
    ) -> None:
        port = port or free_port()
        command = [
            program("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={data}",
            "--storage.tsdb.retention.time=10y",
            f"--web.listen-address=127.0.0.1:{port}",
            "--web.enable-lifecycle",
            "--storage.remote.flush-deadline=2s",
            *flags,
        ]
        super().__init__(command, port=port, ready_path="/-/ready", log=log)
        self.wait_ready()

    def reload(self) -> None:
        """Reload the configuration."""
        httpx.post(f"{self.url}/-/reload", timeout=10.0).raise_for_status()


def run_tool(command: Sequence[str], *, stdin: str | None = None, timeout: float = 60.0) -> tuple[int, str]:
    """Run a command-line tool; return exit code and output (stdout and stderr)."""
    done = subprocess.run(
        [program(command[0]), *command[1:]], input=stdin, capture_output=True, text=True, timeout=timeout, check=False
    )
    return done.returncode, done.stdout + done.stderr

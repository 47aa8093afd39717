"""The stack of scripts/up as processes at its shipped intervals, on ports of its own, and models swapped in it."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx

ROOT = Path(__file__).resolve().parent.parent
PRODUCTION: Final = 'starlight_evaluation_info{model="production"}'
_SERVERS: Final = ("exporter", "prometheus", "alertmanager", "notifications", "grafana")


class NativeStack:
    """Runs while it is entered; on entry the first result of the production model is in Prometheus."""

    def __init__(self, data: Path, dataset: Path, model: Path) -> None:
        ports = {name: free_port() for name in _SERVERS}
        self._prometheus = f"http://127.0.0.1:{ports['prometheus']}"
        self._command = [
            *(sys.executable, "-m", "stack", "--native", "--dataset", str(dataset), "--model", str(model)),
            *("--data", str(data)),
            *(word for name, port in ports.items() for word in (f"--{name}-port", str(port))),
        ]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait(self.hashes, "the first result", 900)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stop()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """An instant query; nothing from a Prometheus that does not answer yet."""
        try:
            answer = httpx.get(f"{self._prometheus}/api/v1/query", params={"query": expression}, timeout=5)
            return list(answer.json()["data"]["result"])
        except (httpx.TransportError, ValueError, KeyError):
            return []

    def hashes(self) -> set[str]:
        """The hashes of production files whose results Prometheus has now."""
        return {row["metric"]["model_sha256"] for row in self.query(PRODUCTION)}

    def _stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)


def swap_options(description: str | None, *models: str, swaps: int) -> argparse.Namespace:
    """The command line of a benchmark that swaps models: `--dataset`, a flag per model, `--swaps`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("dataset", *models):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--swaps", type=int, default=swaps)
    return parser.parse_args()


def machine() -> str:
    """What was measured on, and how busy it is now."""
    return f"{platform.machine()}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the end"


def free_port() -> int:
    """A TCP port on loopback that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def swap(source: Path, model: Path) -> float:
    """Put a copy in the model's place as a deployment does; the time of the rename."""
    beside = model.with_name("new.onnx")
    shutil.copy(source, beside)
    beside.replace(model)
    return time.time()


def wait(look: Callable[[], object], what: str, seconds: float) -> float:
    """The time at which it was there."""
    deadline = time.time() + seconds
    while not look():
        if time.time() > deadline:
            raise SystemExit(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.25)
    return time.time()

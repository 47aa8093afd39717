"""The native stack of scripts/up with the shipped intervals on free ports, and model swaps."""

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
from urllib.parse import urlencode

import psutil

from starlight_exporter.errors import MonitoringError
from starlight_exporter.http_client import HttpClient

ROOT = Path(__file__).resolve().parent.parent
PRODUCTION: Final = 'starlight_evaluation_info{model="production"}'
_VALUES: Final = f'{PRODUCTION} or starlight_provisional_info{{model="production"}}'
_SERVERS: Final = ("exporter", "prometheus", "alertmanager", "notifications", "grafana")


class NativeStack:
    """Context manager that runs the stack. On entry, Prometheus has the first result of the production model."""

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
            wait(self.hashes, "first result", 900)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stop()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the result of an instant query, or nothing if Prometheus does not respond yet."""
        try:
            url = f"{self._prometheus}/api/v1/query?{urlencode({'query': expression})}"
            return list(HttpClient().get_json(url, "Prometheus", timeout=5)["data"]["result"])
        except (MonitoringError, KeyError):
            return []

    def hashes(self, expression: str = _VALUES) -> set[str]:
        """Return the model hashes of the current production results in Prometheus, complete and provisional."""
        return {row["metric"]["model_sha256"] for row in self.query(expression)}

    def exporter_pid(self) -> int:
        """Return the process of the exporter."""
        children = psutil.Process(self._process.pid).children()
        (exporter,) = (child for child in children if "starlight_exporter" in child.cmdline())
        return exporter.pid

    def _stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)


def swap_options(description: str | None, *models: str, swaps: int) -> argparse.Namespace:
    """Parse the command line of a benchmark that swaps models: `--dataset`, one flag per model, `--swaps`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("dataset", *models):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--swaps", type=int, default=swaps)
    return parser.parse_args()


def machine() -> str:
    """Return architecture, cores and load average."""
    return f"{platform.machine()}, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the end"


def free_port() -> int:
    """Return a free TCP port on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def swap(source: Path, model: Path) -> float:
    """Replace the model atomically, as a deployment does; return the time of the rename."""
    staged = model.with_name("new.onnx")
    shutil.copy(source, staged)
    staged.replace(model)
    return time.time()


def wait(condition: Callable[[], object], description: str, seconds: float) -> float:
    """Wait until the condition is true; return the time."""
    deadline = time.time() + seconds
    while not condition():
        if time.time() > deadline:
            raise SystemExit(f"{description}: not within {seconds:.0f} s")
        time.sleep(0.25)
    return time.time()

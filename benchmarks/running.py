"""The exporter under a real Prometheus: delay from a replaced model file to its result, scrape duration, memory."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

import httpx
import numpy as np
import onnx
import yaml

from benchmarks import results
from starlight_exporter.detector.decision import PRODUCTION_THRESHOLDS
from starlight_exporter.detector.model_file import model_sha256
from support.exporter import Exporter
from support.processes import PeakMemory
from support.servers import Prometheus

SCRAPE_SECONDS: Final = 5
PROMETHEUS_HEADERS: Final = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"}
_TIMEOUT: Final = 1800.0


def measure(name: str, model: Path, root: Path, *, runs: int) -> None:
    """Replace the production model `runs` times after a first, cold evaluation; record one section."""
    folder = Path(tempfile.mkdtemp(prefix="starlight-bench-"))
    try:
        production = folder / "models" / "production" / "model.onnx"
        production.parent.mkdir(parents=True)
        shutil.copy(model, production)
        prometheus_config = folder / "prometheus.yml"
        with Exporter(_exporter_config(folder, production, root)) as exporter:
            prometheus_config.write_text(_prometheus_config(exporter.port))
            with (
                Prometheus(prometheus_config, folder / "tsdb", log=folder / "prometheus.log") as prometheus,
                PeakMemory(exporter.process.pid) as memory,
                Scrapes(exporter.url) as scrapes,
            ):
                started = time.monotonic()
                _wait_for(prometheus, production)
                first = time.monotonic() - started
                replaced = []
                for number in range(runs):
                    _replace(model, production, number)
                    started = time.monotonic()
                    _wait_for(prometheus, production)
                    replaced.append(time.monotonic() - started)
                    print(f"replaced model readable in Prometheus after {replaced[-1]:.1f} s", flush=True)
                results.record(
                    f"running {name} {root.name}",
                    {
                        "first_seconds": first,
                        "replaced_seconds": replaced,
                        "evaluation_seconds": exporter.value("evaluation_duration_seconds"),
                        "scrape_milliseconds": scrapes.quantiles(),
                        "own_megabytes": {"main": memory.service / 1e6, "worker": memory.worker / 1e6},
                    },
                )
    finally:
        shutil.rmtree(folder)


class Scrapes:
    """Requests /metrics ten times per second."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self.seconds: list[float] = []

    def __enter__(self) -> Scrapes:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def quantiles(self) -> dict[str, float]:
        """Return quantiles in milliseconds, and the number of scrapes."""
        values = np.array(self.seconds) * 1000
        found = {f"p{q}": float(np.percentile(values, q, method="higher")) for q in (50, 95, 99)}
        return {**found, "max": float(values.max()), "scrapes": float(values.size)}

    def _ask(self) -> None:
        with httpx.Client(timeout=30.0, trust_env=False) as client:
            while not self._stop.wait(0.1):
                start = time.perf_counter()
                client.get(f"{self._url}/metrics", headers=PROMETHEUS_HEADERS).raise_for_status()
                self.seconds.append(time.perf_counter() - start)


def _replace(model: Path, production: Path, number: int) -> None:
    """Replace the model atomically by a file with another hash and the same results."""
    content = onnx.load(str(model))
    content.doc_string = f"replacement {number}"
    staged = production.with_suffix(".new")
    onnx.save_model(content, str(staged))
    staged.replace(production)


def _wait_for(prometheus: Prometheus, production: Path) -> None:
    sha256 = model_sha256(production)[:12]
    query = f'starlight_false_positive_ratio * on(model, dataset) starlight_evaluation_info{{model_sha256="{sha256}"}}'
    prometheus.wait_for_value(query, timeout=_TIMEOUT)


def _exporter_config(folder: Path, production: Path, root: Path) -> Path:
    content = {
        "models": [
            {
                "name": "production",
                "file": str(production),
                "role": "production",
                "decision": {"thresholds": dict(PRODUCTION_THRESHOLDS)},
            }
        ],
        "datasets": [{"name": "measured", "path": str(root)}],
        "schedule": {"interval": "1d"},
        "limits": {"cache_bytes": "64GiB"},
    }
    file = folder / "starlight.yml"
    file.write_text(yaml.safe_dump(content))
    return file


def _prometheus_config(port: int) -> str:
    target = {"targets": [f"127.0.0.1:{port}"]}
    job = {"job_name": "starlight", "static_configs": [target]}
    return yaml.safe_dump({"global": {"scrape_interval": f"{SCRAPE_SECONDS}s"}, "scrape_configs": [job]})

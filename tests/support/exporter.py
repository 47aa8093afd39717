"""A real exporter process with a small configuration."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import yaml
from prometheus_client.parser import text_string_to_metric_families

from support.images import write_dataset
from support.models import write_constant_model
from support.servers import Server, free_port
from support.waiting import TIMEOUT, wait_until

T = TypeVar("T")


def write_config(folder: Path, **sections: Any) -> Path:
    """Write a configuration with one model, one small dataset and short watch intervals; `sections` replace parts.

    Few images are timed.
    """
    if not (folder / "images").exists():
        write_dataset(folder / "images")
    model = folder / "models" / "model.onnx"
    if not model.exists():
        model.parent.mkdir(parents=True, exist_ok=True)
        write_constant_model(model, logit=-4.0)
    content: dict[str, Any] = {
        "models": [{"name": "production", "file": "models/model.onnx", "role": "production"}],
        "datasets": [{"name": "small", "path": "images"}],
        "schedule": {"interval": "1h"},
        "watch": {"interval": "200ms", "settle": "400ms"},
        "latency": {"sample": 20},
        **sections,
    }
    file = folder / "starlight.yml"
    file.write_text(yaml.safe_dump(content))
    return file


def write_config_of_shipped_models(folder: Path, images: Path, **sections: Any) -> Path:
    """Write a configuration for the models of this folder (v3 is the baseline, others research), without latency."""
    return write_config(
        folder,
        models=[
            {"name": "production", "file": "models/production/model.onnx", "role": "production"},
            {"name": "v3", "file": "models/v3/model.onnx", "role": "baseline"},
        ],
        research={"models_dir": "models"},
        datasets=[{"name": "small", "path": str(images)}],
        latency={"sample": 0},
        **sections,
    )


def exporter_command(config: Path, port: int, *flags: str) -> list[str]:
    """Return the command that starts the exporter on a loopback port."""
    address = f"--web.listen-address=127.0.0.1:{port}"
    return [sys.executable, "-m", "starlight_exporter", f"--config.file={config}", address, *flags]


class Exporter(Server):
    """The exporter on a free loopback port. Healthy on return, without results yet."""

    def __init__(
        self,
        config: Path,
        *,
        flags: Sequence[str] = ("--web.enable-lifecycle",),
        port: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        port = port or free_port()
        command = exporter_command(config, port, *flags)
        log = config.parent / "exporter.log"
        super().__init__(command, port=port, ready_path="/-/healthy", log=log, environment=environment)
        self.wait_ready()

    def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Return all samples of one scrape by name and labels."""
        text = httpx.get(f"{self.url}/metrics", timeout=10.0).raise_for_status().text
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        """Return the only sample with this name and these labels, or None."""
        found = [
            v for (n, have), v in self.metrics().items() if n == f"starlight_{name}" and labels.items() <= set(have)
        ]
        assert len(found) <= 1, f"{name} {labels}: {len(found)} samples"
        return found[0] if found else None

    def wait_until(self, condition: Callable[[], T | None], description: str, *, timeout: float = TIMEOUT) -> T:
        """Return the first result of `condition` that is neither None nor False; fail if the exporter exits."""

        def checked() -> T | None:
            assert self.process.poll() is None, self.log.read_text()
            return condition()

        return wait_until(checked, lambda: f"{description}\n{self.log.read_text()[-3000:]}", timeout=timeout)

    def wait_for_value(self, expected: float, name: str, **labels: str) -> None:
        """Wait until a sample has this value."""
        self.wait_until(lambda: self.value(name, **labels) == expected, f"{name} {labels} = {expected}")

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of all samples with this name and these labels."""
        return sum(
            v for (n, have), v in self.metrics().items() if n == f"starlight_{name}" and labels.items() <= set(have)
        )

    def worker(self) -> psutil.Process | None:
        """Return the worker process of the active run, or None."""
        for child in psutil.Process(self.process.pid).children():
            # A process that has just been killed is a child until the exporter reads its exit code.
            with suppress(psutil.NoSuchProcess):
                if "worker_main" in " ".join(child.cmdline()):
                    return child
        return None

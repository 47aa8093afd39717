"""A real exporter process on a small configuration of the test's own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
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
    """One production model, one small dataset, quick to notice changes; `sections` replace parts of the file."""
    if not (folder / "images").exists():
        write_dataset(folder / "images")
    model = folder / "models" / "model.onnx"
    if not model.exists():
        model.parent.mkdir(parents=True, exist_ok=True)
        write_constant_model(model, logit=-4.0)
    content: dict[str, Any] = {
        "models": [{"name": "production", "file": "models/model.onnx", "role": "production"}],
        "datasets": [{"name": "drawn", "path": "images"}],
        "schedule": {"interval": "1h"},
        "watch": {"interval": "200ms", "settle": "400ms"},
        **sections,
    }
    file = folder / "starlight.yml"
    file.write_text(yaml.safe_dump(content))
    return file


def write_config_of_shipped_models(folder: Path, images: Path, **sections: Any) -> Path:
    """`models/` of this folder with its production model, v3 as baseline and all others as research; no latency."""
    return write_config(
        folder,
        models=[
            {"name": "production", "file": "models/production/model.onnx", "role": "production"},
            {"name": "v3", "file": "models/v3/model.onnx", "role": "baseline"},
        ],
        research={"models_dir": "models"},
        datasets=[{"name": "drawn", "path": str(images)}],
        latency={"sample": 0},
        **sections,
    )


class Exporter(Server):
    """`python -m exporter` on a free loopback port; healthy on return, its first results still to come."""

    def __init__(
        self, config: Path, *, flags: Sequence[str] = ("--web.enable-lifecycle",), port: int | None = None
    ) -> None:
        port = port or free_port()
        command = [
            sys.executable,
            "-m",
            "starlight_exporter",
            f"--config.file={config}",
            f"--web.listen-address=127.0.0.1:{port}",
            *flags,
        ]
        log = config.parent / "exporter.log"
        super().__init__(command, port=port, ready_path="/-/healthy", log=log)
        self.wait_ready()

    def metrics(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Every sample of one scrape, by name and labels."""
        text = httpx.get(f"{self.url}/metrics", timeout=10.0).raise_for_status().text
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        """The one sample of this name whose labels include these; None if there is none."""
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
        """Return once a sample has this value."""
        self.wait_until(lambda: self.value(name, **labels) == expected, f"{name} {labels} = {expected}")

    def worker(self) -> psutil.Process | None:
        """The worker process of the run under way."""
        for child in psutil.Process(self.process.pid).children():
            if "spawn_main" in " ".join(child.cmdline()):
                return child
        return None

"""The shipped configurations, moved to the ports and the data that this run uses.

Nothing is rewritten in place: what a run changes is written to `data/run/`, with absolute paths.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from stack.processes import StackError
from starlight_exporter.config import load_config

LOOPBACK = "127.0.0.1"
REFERENCE_RECIPE = ("--seed", "2026", "--clean", "1000", "--stego", "800", "--negatives", "200")
"""How scripts/make_dataset.py makes the reference dataset: 2,000 images."""


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports on 127.0.0.1; the defaults are those that stand in the shipped configuration files, or of Grafana."""

    exporter: int = 9877
    prometheus: int = 9090
    alertmanager: int = 9093
    notifications: int = 9876
    grafana: int = 3000

    def named(self) -> dict[str, int]:
        """Port by part, in start order."""
        return {
            "notifications": self.notifications,
            "alertmanager": self.alertmanager,
            "exporter": self.exporter,
            "prometheus": self.prometheus,
            "grafana": self.grafana,
        }


SHIPPED = Ports()


def require_free(ports: Mapping[str, int]) -> None:
    """Raise StackError naming the first part whose port another process holds, and the flag that moves it."""
    for name, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError as error:
                raise StackError(
                    f"port {port} ({name}) is in use by another process; stop it, or choose another: --{name}-port"
                ) from error


def write_prometheus(root: Path, run: Path, ports: Ports) -> Path:
    """The shipped prometheus.yml with this run's addresses and an absolute rule path."""
    text = move_addresses((root / "prometheus" / "prometheus.yml").read_text(), ports)
    text = text.replace("  - rules/*.yml", f"  - {root}/prometheus/rules/*.yml")
    return write(run / "prometheus.yml", text)


def write_alertmanager(root: Path, run: Path, ports: Ports) -> Path:
    """The shipped alertmanager.yml with this run's addresses and an absolute template path."""
    text = move_addresses((root / "alerting" / "alertmanager.yml").read_text(), ports)
    text = text.replace("  - templates/*.tmpl", f"  - {root}/alerting/templates/*.tmpl")
    return write(run / "alertmanager.yml", text)


def write_exporter(config: Path, run: Path, *, dataset: Path | None, model: Path | None) -> Path:
    """The exporter configuration with somebody's own dataset or production model in the place of the shipped ones.

    ConfigError where there is a mistake in it.
    """
    checked = load_config(config)
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    # What was checked has absolute paths, and the exporter's defaults where there were none.
    for entry, known in zip(settings["models"], checked.models, strict=True):
        entry["file"] = str(known.file if model is None or known.role != "production" else model.resolve())
        if known.training_log is not None:
            entry["training_log"] = str(known.training_log)
    if dataset is not None:
        settings["datasets"] = [{"name": label(dataset), "path": str(dataset.resolve())}]
    else:
        settings["datasets"] = [{"name": known.name, "path": str(known.path)} for known in checked.datasets]
    if checked.research is not None:
        settings["research"]["models_dir"] = str(checked.research.models_dir)
    if checked.baseline is not None:
        settings["baseline"] = str(checked.baseline)
    settings["paths"] = {name: str(path) for name, path in checked.paths if path is not None}
    header = f"# Written by stack from {config.name}; changed at every start.\n"
    written = write(run / "starlight.yml", header + yaml.safe_dump(settings, sort_keys=False))
    # Right by itself, it can be wrong with these images: where the exporter's own files lie among them.
    load_config(written)
    return written


def move_addresses(text: str, ports: Ports) -> str:
    """Every shipped loopback address in a configuration text, on this run's ports instead."""
    shipped = SHIPPED.named()
    for name, port in ports.named().items():
        text = text.replace(f"{LOOPBACK}:{shipped[name]}", f"{LOOPBACK}:<{name}>{port}")
    # In two steps, so that one part's new port is never taken for another's shipped one.
    for name in shipped:
        text = text.replace(f"<{name}>", "")
    return text


def label(folder: Path) -> str:
    """A folder's name as a metric label: lower case letters, digits, `_` and `-`."""
    name = "".join(c if c.isalnum() and c.isascii() else "-" for c in folder.resolve().name.lower()).strip("-")
    return name or "dataset"


def write(file: Path, text: str) -> Path:
    """Write a configuration of this run, making its folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file

"""Configuration files of one run: the shipped ones with other addresses, models and datasets.

They are written to `data/run/` with absolute paths; the shipped files are not modified.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from stack.ports import LOOPBACK, SHIPPED, Ports
from starlight_exporter.config import load_config
from starlight_exporter.files import write_text


def write_prometheus(root: Path, run: Path, ports: Ports) -> Path:
    """Write the shipped prometheus.yml with the addresses of this run and an absolute rule path."""
    text = move_addresses((root / "prometheus" / "prometheus.yml").read_text(), ports)
    text = text.replace("  - rules/*.yml", f"  - {root}/prometheus/rules/*.yml")
    return _write(run / "prometheus.yml", text)


def remove_dashboard_links(prometheus: Path) -> None:
    """Remove the base URL of the Grafana dashboards, so that notifications have no links to them."""
    lines = prometheus.read_text(encoding="utf-8").splitlines(keepends=True)
    write_text(prometheus, "".join(line for line in lines if not line.startswith("    dashboard_base:")))


def write_alertmanager(root: Path, run: Path, ports: Ports) -> Path:
    """Write the shipped alertmanager.yml with the addresses of this run and an absolute template path."""
    text = move_addresses((root / "alerting" / "alertmanager.yml").read_text(), ports)
    text = text.replace("  - templates/*.tmpl", f"  - {root}/alerting/templates/*.tmpl")
    return _write(run / "alertmanager.yml", text)


def write_exporter(config: Path, run: Path, *, dataset: Path | None, model: Path | None) -> Path:
    """Write the exporter configuration with another dataset or production model. Raises ConfigError."""
    checked = load_config(config)
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    # The validated configuration has absolute paths and all defaults.
    for entry, known in zip(settings["models"], checked.models, strict=True):
        entry["file"] = str(known.file if model is None or known.role != "production" else model.resolve())
        if known.training_log is not None:
            entry["training_log"] = str(known.training_log)
    if dataset is not None:
        settings["datasets"] = [{"name": _dataset_name(dataset), "path": str(dataset.resolve())}]
    else:
        settings["datasets"] = [
            {"name": known.name, "path": str(known.path), "alerts": known.alerts} for known in checked.datasets
        ]
    if checked.research is not None:
        settings["research"]["models_dir"] = str(checked.research.models_dir)
    if checked.baseline is not None:
        settings["baseline"] = str(checked.baseline)
    settings["paths"] = {name: str(path) for name, path in checked.paths if path is not None}
    header = f"# Written by stack from {config.name}; changed at every start.\n"
    written = _write(run / "starlight.yml", header + yaml.safe_dump(settings, sort_keys=False))
    # With another dataset the configuration can become invalid: the exporter's files may be inside its folder.
    load_config(written)
    return written


def move_addresses(text: str, ports: Ports) -> str:
    """Replace every shipped loopback address in a text by the address of this run."""
    shipped = SHIPPED.by_service()
    for name, port in ports.by_service().items():
        text = text.replace(f"{LOOPBACK}:{shipped[name]}", f"{LOOPBACK}:<{name}>{port}")
    # In two steps, because the new port of one service may be the shipped port of another.
    for name in shipped:
        text = text.replace(f"<{name}>", "")
    return text


def _dataset_name(folder: Path) -> str:
    """Return a folder's name as a dataset name: lower-case letters, digits, `_` and `-`."""
    name = "".join(c if c.isalnum() and c.isascii() else "-" for c in folder.resolve().name.lower()).strip("-")
    return name or "dataset"


def _write(file: Path, text: str) -> Path:
    write_text(file, text)
    return file

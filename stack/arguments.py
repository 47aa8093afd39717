"""The command line of `scripts/up`. Imports no third-party package."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from stack.ports import SHIPPED

ROOT = Path(__file__).resolve().parent.parent
_CONFIG = ROOT / "starlight.yml"
_DATA = ROOT / "data"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="scripts/up",
        description="Start exporter, Prometheus, Alertmanager, Grafana, notification log and markdown dashboard on"
        " loopback, in containers if a Docker engine answers, otherwise as processes (Grafana if it is installed)."
        " Ctrl-C stops all of them.",
        epilog="exit codes: 0 stopped, or --check succeeded; 1 a service failed; 2 usage or configuration error",
    )
    parser.add_argument("--check", action="store_true", help="exit 0 as soon as Prometheus has the first result")
    parser.add_argument("--native", action="store_true", help="start processes even if a Docker engine answers")
    parser.add_argument("--dataset", type=Path, metavar="DIR", help="labelled images instead of the reference dataset")
    parser.add_argument("--model", type=Path, metavar="FILE", help="ONNX file of the production model")
    parser.add_argument(
        "--config", type=Path, default=_CONFIG, metavar="FILE", help="exporter configuration (default: starlight.yml)"
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=_DATA,
        metavar="DIR",
        help="logs, notifications, data of Prometheus and Alertmanager (default: data); the exporter's paths are in"
        " its configuration",
    )
    for name, port in SHIPPED.by_service().items():
        parser.add_argument(f"--{name}-port", type=int, default=port, metavar="PORT", help=f"default: {port}")
    return parser


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line; exits with code 2 for missing files."""
    parser = build_parser()
    arguments = parser.parse_args(words)
    for path in (arguments.dataset, arguments.model, arguments.config):
        if path is not None and not path.exists():
            parser.error(f"no such file or folder: {path}")
    return arguments


def process_only_flags(arguments: argparse.Namespace) -> list[str]:
    """Return the given flags that containers do not support: other files, folders and ports."""
    shipped: dict[str, object] = {"dataset": None, "model": None, "config": _CONFIG, "data": _DATA}
    shipped |= {f"{name}_port": port for name, port in SHIPPED.by_service().items()}
    return [f"--{name.replace('_', '-')}" for name, value in shipped.items() if getattr(arguments, name) != value]

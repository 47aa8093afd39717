"""The command line of `scripts/up`. Imports no third-party package."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from stack.ports import SHIPPED, Ports, port_number, read_variables, variable
from starlight_exporter.config_location import CONFIG_FILE, locate_config

ROOT = Path(__file__).resolve().parent.parent
_DATA = ROOT / "data"


def build_parser() -> argparse.ArgumentParser:
    """Return the parser."""
    parser = argparse.ArgumentParser(
        prog="scripts/up",
        description="Start exporter, Prometheus, Alertmanager, Grafana, notification log and markdown dashboard on"
        " loopback, in containers if a Docker engine answers, otherwise as processes (Grafana if it is installed)."
        " Ctrl-C stops all of them.",
        epilog="exit codes: 0 stopped, or --check succeeded; 1 a service failed; 2 usage or configuration error,"
        " or a model or dataset that cannot be used",
    )
    parser.add_argument("--check", action="store_true", help="exit 0 as soon as Prometheus has the first result")
    parser.add_argument("--native", action="store_true", help="start processes even if a Docker engine answers")
    parser.add_argument("--dataset", type=Path, metavar="DIR", help="labelled images instead of the reference dataset")
    parser.add_argument("--model", type=Path, metavar="FILE", help="ONNX file of the production model")
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"exporter configuration (default: {CONFIG_FILE})")
    parser.add_argument(
        "--data",
        type=Path,
        default=_DATA,
        metavar="DIR",
        help="logs, notifications, data of Prometheus and Alertmanager (default: data); the exporter's paths are in"
        " its configuration",
    )
    for name, port in SHIPPED.by_service().items():
        parser.add_argument(
            f"--{name}-port", type=_port, metavar="PORT", help=f"default: {variable(name)}, otherwise {port}"
        )
    return parser


def parse_arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line, with `ports` from flags and variables; exits with code 2 for invalid or missing ones."""
    parser = build_parser()
    arguments = parser.parse_args(words)
    arguments.config = locate_config(arguments.config, ROOT)
    chosen = {name: getattr(arguments, f"{name}_port") for name in SHIPPED.by_service()}
    try:
        arguments.ports = Ports.of(chosen, read_variables(ROOT / ".env", os.environ))
    except ValueError as error:
        parser.error(str(error))
    for path in (arguments.dataset, arguments.model, arguments.config):
        if path is not None and not path.exists():
            parser.error(f"no such file or folder: {path}")
    return arguments


def _port(text: str) -> int:
    try:
        return port_number(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def process_only_flags(arguments: argparse.Namespace) -> list[str]:
    """Return the given flags that containers do not support: other files and folders."""
    shipped: dict[str, object] = {"dataset": None, "model": None, "config": ROOT / CONFIG_FILE, "data": _DATA}
    return [f"--{name.replace('_', '-')}" for name, value in shipped.items() if getattr(arguments, name) != value]

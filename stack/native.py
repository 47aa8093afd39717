"""The stack as processes."""

from __future__ import annotations

import argparse
import subprocess
import time
from collections.abc import Callable

from rich.console import Console

from stack import grafana, results
from stack.arguments import ROOT
from stack.errors import StackError
from stack.loaded import require_receivers, require_rules
from stack.ports import LOOPBACK, Ports, require_free
from stack.processes import Supervisor
from stack.reference_dataset import make_reference_dataset
from stack.services import services
from starlight_exporter.config import load_config

REFERENCE_DATASET = ROOT / "datasets" / "reference"
FIRST_RESULT_SECONDS = 600.0


def run(arguments: argparse.Namespace, console: Console, *, before_stop: Callable[[], None]) -> None:
    """Start all services, print the first results, then wait for an interrupt (with `--check`: return).

    Calls `before_stop` and stops the services in any case. Raises StackError and ConfigError.
    """
    _install_programs()
    ports: Ports = arguments.ports
    supervisor = Supervisor(arguments.data / "logs")
    try:
        _start(arguments, ports, supervisor, console)
        if not arguments.check:
            console.print("running; Ctrl-C stops everything")
            while True:
                supervisor.check()
                time.sleep(1)
    finally:
        before_stop()
        supervisor.stop()


def _start(arguments: argparse.Namespace, ports: Ports, supervisor: Supervisor, console: Console) -> None:
    # Report configuration errors before any process starts, and not only in the exporter's log.
    load_config(arguments.config)
    require_free(used_ports(ports))
    if arguments.dataset is None:
        if not REFERENCE_DATASET.exists():
            console.print("generating the reference dataset (2,000 images, once)")
        make_reference_dataset(REFERENCE_DATASET)
    dashboards = grafana.service(ROOT, arguments.data.resolve(), ports)
    if dashboards is None:
        console.print("grafana             not installed; see README.md for the dashboards", highlight=False)
    for service in (*services(arguments, ports), *([] if dashboards is None else [dashboards])):
        supervisor.start(service)
        console.print(f"{service.name:19} {service.location}", highlight=False)
    prometheus = f"http://{LOOPBACK}:{ports.prometheus}"
    require_rules(prometheus, ROOT / "prometheus" / "rules")
    require_receivers(f"http://{LOOPBACK}:{ports.alertmanager}", arguments.data / "run" / "alertmanager.yml")
    status_page = f"http://{LOOPBACK}:{ports.exporter}/"
    results.wait_for_first(prometheus, status_page, console, seconds=FIRST_RESULT_SECONDS, check=supervisor.check)
    results.show(prometheus, Console())


def used_ports(ports: Ports) -> dict[str, int]:
    """Return the ports of the services that will start: Grafana's only if Grafana is installed."""
    return {
        name: port for name, port in ports.by_service().items() if name != "grafana" or grafana.program() is not None
    }


def _install_programs() -> None:
    if subprocess.run([str(ROOT / "scripts" / "setup")], check=False).returncode != 0:
        raise StackError("scripts/setup failed; see above")

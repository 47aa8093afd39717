"""The stack as processes."""

from __future__ import annotations

import argparse
import signal
import subprocess
import time
from collections.abc import Callable, Sequence

from rich.console import Console

from stack import grafana, results
from stack.arguments import ROOT
from stack.datasets import make_dataset, shipped_datasets
from stack.errors import StackError
from stack.loaded import require_receivers, require_rules
from stack.pages import page_address
from stack.ports import LOOPBACK, Ports, require_free
from stack.processes import Supervisor
from stack.services import rewrite_exporter_config, services
from starlight_exporter.config import load_config

DATASETS_FOLDER = ROOT / "datasets"
FIRST_RESULT_SECONDS = 600.0


def run(arguments: argparse.Namespace, console: Console, *, before_stop: Callable[[], None]) -> None:
    """Start all services, print the first results, then wait for an interrupt (with `--check`: return).

    Calls `before_stop` and stops the services in any case. Raises StackError and ConfigError.
    """
    _install_programs()
    ports: Ports = arguments.ports
    supervisor = Supervisor(arguments.data / "logs")
    try:
        later = _start(arguments, ports, supervisor, console)
        if not arguments.check:
            _add_datasets(arguments, later, supervisor, console)
            console.print("running; Ctrl-C stops everything")
            while True:
                supervisor.check()
                time.sleep(1)
    finally:
        before_stop()
        supervisor.stop()


def _start(arguments: argparse.Namespace, ports: Ports, supervisor: Supervisor, console: Console) -> tuple[str, ...]:
    """Start all services and print the first results; return the shipped datasets that do not exist yet."""
    # Report configuration errors before any process starts, and not only in the exporter's log.
    config = load_config(arguments.config)
    require_free(used_ports(ports))
    configured = () if arguments.dataset is not None else shipped_datasets(config, DATASETS_FOLDER)
    # The first results need one dataset. The others would only delay them.
    for name in configured[:1]:
        _make(name, console)
    later = tuple(name for name in configured[1:] if not (DATASETS_FOLDER / name).exists())
    dashboards = grafana.service(ROOT, arguments.data.resolve(), ports)
    if dashboards is None:
        console.print("grafana             not installed; see README.md for the dashboards", highlight=False)
    for service in (*services(arguments, ports, without=later), *([] if dashboards is None else [dashboards])):
        supervisor.start(service)
        shown = page_address(service.location, service.pages) if service.pages else service.location
        console.print(f"{service.name:19} {shown}", highlight=False)
    prometheus = f"http://{LOOPBACK}:{ports.prometheus}"
    require_rules(prometheus, ROOT / "prometheus" / "rules")
    require_receivers(f"http://{LOOPBACK}:{ports.alertmanager}", arguments.data / "run" / "alertmanager.yml")
    status_page = f"http://{LOOPBACK}:{ports.exporter}/"
    results.wait_for_first(prometheus, status_page, console, seconds=FIRST_RESULT_SECONDS, check=supervisor.check)
    results.show(prometheus, Console())
    return later


def _add_datasets(
    arguments: argparse.Namespace, names: Sequence[str], supervisor: Supervisor, console: Console
) -> None:
    """Generate the other datasets, and reload the exporter with each of them."""
    for number, name in enumerate(names, start=1):
        _make(name, console)
        rewrite_exporter_config(arguments, without=names[number:])
        supervisor.send("exporter", signal.SIGHUP)


def _make(name: str, console: Console) -> None:
    if not (DATASETS_FOLDER / name).exists():
        console.print(f"generating the dataset {name} (once)", highlight=False)
    make_dataset(name, DATASETS_FOLDER / name)


def used_ports(ports: Ports) -> dict[str, int]:
    """Return the ports of the services that will start: Grafana's only if Grafana is installed."""
    return {
        name: port for name, port in ports.by_service().items() if name != "grafana" or grafana.program() is not None
    }


def _install_programs() -> None:
    if subprocess.run([str(ROOT / "scripts" / "setup")], check=False).returncode != 0:
        raise StackError("scripts/setup failed; see above")

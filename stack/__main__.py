"""`python -m stack`: start everything, print the addresses and the first results, stop everything on Ctrl-C."""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

from rich.console import Console

from stack import compose, configuration, grafana, results
from stack.configuration import LOOPBACK, REFERENCE_RECIPE, SHIPPED, Ports
from stack.processes import Part, StackError, Supervisor
from starlight_exporter.config import load_config
from starlight_exporter.errors import ConfigError

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "datasets" / "reference"
FIRST_RESULT_SECONDS = 600.0
DATA_HELP = (
    "logs, notifications, data of Prometheus and Alertmanager; the exporter's own paths are in its configuration"
)
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What ends the stack: Ctrl-C, a request, a terminal that is closed."""


def main() -> int:
    """Run the stack; 0 when it was stopped on request (or `--check` succeeded), 1 with the reason otherwise."""
    arguments = parse_arguments()
    console = Console(stderr=True)
    for number in ENDINGS:
        # What whoever started us has ignored, as nohup does, stays so.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, interrupt)
    ports = Ports(
        exporter=arguments.exporter_port,
        prometheus=arguments.prometheus_port,
        alertmanager=arguments.alertmanager_port,
        notifications=arguments.notifications_port,
        grafana=arguments.grafana_port,
    )
    supervisor = Supervisor(arguments.data / "logs")
    try:
        containers = None if arguments.native else compose.command()
        own = flags_for_processes(arguments)
        if containers is not None and own:
            console.print(f"processes instead of containers, because of {', '.join(own)}", highlight=False)
            containers = None
        if containers is not None:
            compose.run(containers, console, check=arguments.check)
        else:
            install_programs()
            run(arguments, ports, supervisor, console)
    except (StackError, ConfigError) as error:
        console.print(f"up: {error}", style="bold red", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("\nstopping")
        return 0
    finally:
        ignore_endings()
        supervisor.stop()
    return 0


def parse_arguments(words: list[str] | None = None) -> argparse.Namespace:
    """The command line of scripts/up."""
    parser = argparse.ArgumentParser(
        prog="scripts/up",
        description="Start exporter, Prometheus, Alertmanager, notification log and markdown dashboard on loopback;"
        " as processes, Grafana too where it is installed.",
    )
    parser.add_argument("--check", action="store_true", help="exit 0 once the first result is in Prometheus, else 1")
    parser.add_argument("--native", action="store_true", help="start processes, even where a Docker engine answers")
    parser.add_argument("--dataset", type=Path, metavar="DIR", help="labelled images of your own instead of reference")
    parser.add_argument("--model", type=Path, metavar="FILE", help="an ONNX detector of your own as production model")
    parser.add_argument("--config", type=Path, default=ROOT / "starlight.yml", help="exporter configuration")
    parser.add_argument("--data", type=Path, default=ROOT / "data", metavar="DIR", help=DATA_HELP)
    for name, port in SHIPPED.named().items():
        parser.add_argument(f"--{name}-port", type=int, default=port, metavar="PORT", help=f"default {port}")
    arguments = parser.parse_args(words)
    for path in (arguments.dataset, arguments.model, arguments.config):
        if path is not None and not path.exists():
            parser.error(f"no such file or folder: {path}")
    return arguments


def flags_for_processes(arguments: argparse.Namespace) -> list[str]:
    """The flags given that only processes can follow: own files, other places, other ports."""
    shipped: dict[str, object] = {"dataset": None, "model": None}
    shipped |= {"config": ROOT / "starlight.yml", "data": ROOT / "data"}
    shipped |= {f"{name}_port": port for name, port in SHIPPED.named().items()}
    return [f"--{name.replace('_', '-')}" for name, value in shipped.items() if getattr(arguments, name) != value]


def install_programs() -> None:
    """Prometheus and Alertmanager, where they are missing and may be installed; StackError where they may not."""
    if subprocess.run([str(ROOT / "scripts" / "setup")], check=False).returncode != 0:
        raise StackError("what processes need could not be set up; the reason stands above")


def run(arguments: argparse.Namespace, ports: Ports, supervisor: Supervisor, console: Console) -> None:
    """Start every part, show the first results, then wait for Ctrl-C (with `--check`: return)."""
    # A mistake in it is told before anything starts; the exporter would tell it in its log.
    load_config(arguments.config)
    configuration.require_free(bound(ports))
    if arguments.dataset is None:
        make_reference_dataset(console)
    dashboards = grafana.part(ROOT, arguments.data.resolve(), ports)
    if dashboards is None:
        console.print("grafana        not installed: the README says how to get the dashboards", highlight=False)
    for part in (*parts(arguments, ports), *([] if dashboards is None else [dashboards])):
        supervisor.start(part)
        console.print(f"{part.name:14} {part.page_url}", highlight=False)
    prometheus = f"http://{LOOPBACK}:{ports.prometheus}"
    status_page = f"http://{LOOPBACK}:{ports.exporter}/"
    results.wait_for_first(prometheus, status_page, console, seconds=FIRST_RESULT_SECONDS, still=supervisor.check)
    results.show(prometheus, Console())
    if arguments.check:
        return
    console.print("running; Ctrl-C stops everything")
    while True:
        supervisor.check()
        time.sleep(1)


def bound(ports: Ports) -> dict[str, int]:
    """The ports that a run takes, by part: Grafana's only where it is installed."""
    return {name: port for name, port in ports.named().items() if name != "grafana" or grafana.program() is not None}


def make_reference_dataset(console: Console) -> None:
    """Make the reference dataset on the first run; a complete one is left as it is."""
    command = (sys.executable, str(ROOT / "scripts" / "make_dataset.py"), "--out", str(REFERENCE), *REFERENCE_RECIPE)
    if not REFERENCE.exists():
        console.print("making the reference dataset (2,000 images, once)")
    if subprocess.run(command, check=False).returncode != 0:
        raise StackError("the reference dataset could not be made; the reason stands above")


def parts(arguments: argparse.Namespace, ports: Ports) -> list[Part]:
    """The stack's processes in start order, each with this run's configuration."""
    data = arguments.data.resolve()
    run_folder = data / "run"
    exporter_config = arguments.config
    if arguments.dataset is not None or arguments.model is not None:
        exporter_config = configuration.write_exporter(
            arguments.config, run_folder, dataset=arguments.dataset, model=arguments.model
        )
    addresses = {name: f"{LOOPBACK}:{port}" for name, port in ports.named().items()}
    return [
        Part(
            name="notifications",
            command=(
                sys.executable,
                str(ROOT / "scripts" / "notification_log.py"),
                f"--web.listen-address={addresses['notifications']}",
                f"--output={data / 'notifications.jsonl'}",
            ),
            ready_url=f"http://{addresses['notifications']}/-/healthy",
            page_url=str(data / "notifications.jsonl"),
        ),
        Part(
            name="alertmanager",
            command=(
                program("prometheus-alertmanager"),
                f"--config.file={configuration.write_alertmanager(ROOT, run_folder, ports)}",
                f"--storage.path={data / 'alertmanager'}",
                f"--web.listen-address={addresses['alertmanager']}",
                "--cluster.listen-address=",
            ),
            ready_url=f"http://{addresses['alertmanager']}/-/ready",
            page_url=f"http://{addresses['alertmanager']}",
        ),
        Part(
            name="exporter",
            command=(
                sys.executable,
                "-m",
                "starlight_exporter",
                f"--config.file={exporter_config}",
                f"--web.listen-address={addresses['exporter']}",
                "--web.enable-lifecycle",
            ),
            ready_url=f"http://{addresses['exporter']}/-/healthy",
            page_url=f"http://{addresses['exporter']}",
        ),
        Part(
            name="prometheus",
            command=(
                program("prometheus"),
                f"--config.file={configuration.write_prometheus(ROOT, run_folder, ports)}",
                f"--storage.tsdb.path={data / 'prometheus'}",
                "--storage.tsdb.retention.time=1y",
                f"--web.listen-address={addresses['prometheus']}",
                "--web.enable-lifecycle",
            ),
            ready_url=f"http://{addresses['prometheus']}/-/ready",
            page_url=f"http://{addresses['prometheus']}",
        ),
        Part(
            name="markdown-dashboard",
            command=(
                sys.executable,
                str(ROOT / "scripts" / "mirror_dashboard.py"),
                f"--prometheus=http://{addresses['prometheus']}",
                f"--alertmanager=http://{addresses['alertmanager']}",
                f"--output={data / 'documents' / 'performance_dashboard.md'}",
                "--watch=30s",
            ),
            ready_url=None,
            page_url=str(data / "documents" / "performance_dashboard.md"),
        ),
    ]


def program(name: str) -> str:
    """The path of an installed program; StackError naming its Debian package if there is none."""
    path = shutil.which(name)
    if path is None:
        raise StackError(f"{name} is not installed; on Debian: apt-get install --no-install-recommends {name}")
    return path


def interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Whatever ends the stack does so as Ctrl-C does, and once: a terminal that closes says it more than once."""
    ignore_endings()
    raise KeyboardInterrupt


def ignore_endings() -> None:
    """From here on we stop: to be interrupted would leave processes behind."""
    for number in ENDINGS:
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    raise SystemExit(main())

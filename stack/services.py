"""The processes of the stack and their command lines."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Collection
from pathlib import Path

from stack import configuration, grafana
from stack.arguments import ROOT
from stack.errors import StackError
from stack.pages import ALERTMANAGER_PAGES, PROMETHEUS_PAGES
from stack.passwords import ALERTMANAGER_PASSWORD, make_password
from stack.ports import LOOPBACK, Ports, free_port
from stack.processes import Service

RETENTION = "1y"
"""Of Prometheus; docker-compose.yml uses the same."""
EXEMPLARS = "--enable-feature=exemplar-storage"
"""Slow latency buckets link to an image; docker-compose.yml uses the same."""
CORS_ORIGIN = "none"
"""Pattern of the origins whose pages may read Prometheus' API; matches no origin. docker-compose.yml uses the same."""
DASHBOARD_INTERVAL = "30s"
"""Between updates of the markdown dashboard; docker-compose.yml uses the same."""


def services(arguments: argparse.Namespace, ports: Ports, *, without: Collection[str] = ()) -> list[Service]:
    """Return all services but Grafana in start order, configured for these ports and folders.

    The datasets `without` are left out of the exporter's configuration.
    """
    data = arguments.data.resolve()
    address = {name: f"{LOOPBACK}:{port}" for name, port in ports.by_service().items()}
    return [
        _notifications(address["notifications"], data),
        *_alertmanager(address["alertmanager"], data, ports),
        _exporter(address["exporter"], _exporter_config(arguments, without=without), _service_urls(address)),
        _prometheus(address["prometheus"], data, ports),
        _markdown_dashboard(address, data),
    ]


def _notifications(address: str, data: Path) -> Service:
    output = data / "notifications.jsonl"
    script = str(ROOT / "scripts" / "notification_log.py")
    return Service(
        name="notifications",
        command=(sys.executable, script, f"--web.listen-address={address}", f"--output={output}"),
        ready_url=f"http://{address}/-/healthy",
        location=str(output),
    )


def _alertmanager(address: str, data: Path, ports: Ports) -> tuple[Service, Service]:
    """Return Alertmanager, on a port of its own behind a password, and the proxy at its address that has the password.

    Alertmanager answers the pages of every site; the proxy rejects them.
    """
    config = configuration.write_alertmanager(ROOT, data / "run", ports)
    password = data / "secrets" / ALERTMANAGER_PASSWORD
    access = configuration.write_access(data / "run", make_password(password, mode=0o600), password)
    behind = f"{LOOPBACK}:{free_port()}"
    alertmanager = Service(
        name="alertmanager",
        command=(
            _program("prometheus-alertmanager"),
            # Relative to the working directory, so that no pattern character of a path is in the paths of templates.
            f"--config.file={config.name}",
            f"--storage.path={data / 'alertmanager'}",
            f"--web.listen-address={behind}",
            f"--web.config.file={access.server.name}",
            f"--web.external-url=http://{address}",
            "--cluster.listen-address=",
        ),
        ready_url=None,
        location=f"behind alertmanager-gate (password in {password})",
        folder=config.parent,
    )
    gate = Service(
        name="alertmanager-gate",
        command=(
            *(sys.executable, "-m", "stack.alertmanager_gate", f"--web.listen-address={address}"),
            *(f"--alertmanager=http://{behind}", f"--alertmanager.config.file={access.client}"),
        ),
        ready_url=f"http://{address}/-/ready",
        location=f"http://{address}",
        pages=ALERTMANAGER_PAGES,
    )
    return alertmanager, gate


def _exporter_config(arguments: argparse.Namespace, *, without: Collection[str]) -> Path:
    """Return the exporter's configuration: the given one, or a written one with other files or fewer datasets."""
    config: Path = arguments.config
    if arguments.dataset is None and arguments.model is None and not without:
        return config
    return rewrite_exporter_config(arguments, without=without)


def rewrite_exporter_config(arguments: argparse.Namespace, *, without: Collection[str]) -> Path:
    """Write the exporter's configuration of this run, without some datasets; return its path."""
    return configuration.write_exporter(
        arguments.config,
        arguments.data.resolve() / "run",
        dataset=arguments.dataset,
        model=arguments.model,
        without=without,
    )


def _service_urls(address: dict[str, str]) -> tuple[str, ...]:
    """Return the flags for the commands of runbooks and the links to dashboards; Grafana only if it is installed."""
    names = ("prometheus", "alertmanager", *(() if grafana.program() is None else ("grafana",)))
    return tuple(f"--web.{name}-url=http://{address[name]}/" for name in names)


def _exporter(address: str, config: Path, flags: tuple[str, ...]) -> Service:
    return Service(
        name="exporter",
        command=(
            *(sys.executable, "-m", "starlight_exporter", f"--config.file={config}"),
            *(f"--web.listen-address={address}", f"--web.external-url=http://{address}/", *flags),
            "--web.enable-lifecycle",
        ),
        ready_url=f"http://{address}/-/healthy",
        location=f"http://{address}",
    )


def _prometheus(address: str, data: Path, ports: Ports) -> Service:
    config = configuration.write_prometheus(ROOT, data / "run", ports)
    return Service(
        name="prometheus",
        command=(
            _program("prometheus"),
            # Relative, as for Alertmanager: the paths of rules.
            f"--config.file={config.name}",
            f"--storage.tsdb.path={data / 'prometheus'}",
            f"--storage.tsdb.retention.time={RETENTION}",
            EXEMPLARS,
            # Otherwise links in notifications have the name of the machine, on which nothing listens.
            *(f"--web.listen-address={address}", f"--web.external-url=http://{address}/"),
            f"--web.cors.origin={CORS_ORIGIN}",
        ),
        ready_url=f"http://{address}/-/ready",
        location=f"http://{address}",
        folder=config.parent,
        pages=PROMETHEUS_PAGES,
    )


def _markdown_dashboard(address: dict[str, str], data: Path) -> Service:
    output = data / "documents" / "performance_dashboard.md"
    return Service(
        name="markdown-dashboard",
        command=(
            *(sys.executable, "-m", "starlight_exporter.cli.main", "dashboard"),
            f"--prometheus=http://{address['prometheus']}",
            f"--alertmanager=http://{address['alertmanager']}",
            f"--output={output}",
            f"--watch={DASHBOARD_INTERVAL}",
        ),
        ready_url=None,
        location=str(output),
    )


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise StackError(f"{name} is not installed; on Debian: apt-get install --no-install-recommends {name}")
    # A relative entry of PATH must not depend on the working directory of the service.
    return str(Path(path).absolute())

"""Check a running `docker compose up`: every service healthy, dashboards provisioned, a panel's query answered.

Exit code 1: something is missing, reported one per line; 2: no Docker engine or compose.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path
from typing import Any

from stack.passwords import GRAFANA_PASSWORD
from stack.ports import LOOPBACK, SHIPPED, Ports, read_variables, variable
from starlight_exporter.errors import MonitoringError
from starlight_exporter.exit_codes import CHECK_FAILED, NOT_MEASURED, OK
from starlight_exporter.http_client import HttpClient, basic_authorization, shown_url

ROOT = Path(__file__).resolve().parent.parent
DASHBOARDS = ROOT / "grafana" / "dashboards"
PANEL = ("overview.json", "False positive rate")
HEALTHY = ("notifications", "exporter", "alertmanager", "alertmanager-gate", "prometheus", "grafana")


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:  # noqa: ARG001  # no default paths
    """Add the flags."""
    parser.add_argument(
        "--grafana",
        metavar="URL",
        help=f"default: port {variable('grafana')} of {LOOPBACK}, otherwise {SHIPPED.grafana}",
    )
    parser.add_argument("--seconds", type=float, default=300.0, help="maximum wait for health (default: 300)")


def run(options: argparse.Namespace) -> int:
    """Print what is missing, one per line."""
    from stack import compose

    command = compose.command()
    if command is None:
        print(f"{options.name}: no Docker engine answers, or compose is not installed", file=sys.stderr)
        return NOT_MEASURED
    try:
        ports = Ports.of({}, read_variables(ROOT / ".env", os.environ))
    except ValueError as error:
        print(f"{options.name}: {error}", file=sys.stderr)
        return NOT_MEASURED
    grafana = options.grafana or f"http://{LOOPBACK}:{ports.grafana}"
    missing = [*unhealthy(command, options.seconds), *unprovisioned(grafana, password(command))]
    for line in missing:
        print(f"{options.name}: {line}", file=sys.stderr)
    if missing:
        return CHECK_FAILED
    print("all services are healthy, all dashboards are provisioned, Prometheus answers through Grafana")
    return OK


def unhealthy(command: tuple[str, ...], seconds: float) -> list[str]:
    """Return one line per service that is not healthy within `seconds`."""
    deadline = time.monotonic() + seconds
    waiting = list(HEALTHY)
    while waiting and time.monotonic() < deadline:
        waiting = [service for service in waiting if _health(command, service) != "healthy"]
        time.sleep(1 if waiting else 0)
    return [f"{service} is {_health(command, service) or 'not running'}" for service in waiting]


def unprovisioned(grafana: str, secret: str) -> list[str]:
    """Return one line per dashboard, data source or query that Grafana does not serve."""
    files = sorted(DASHBOARDS.glob("*.json"))
    expected = {json.loads(file.read_text())["uid"] for file in files}
    try:
        found = {entry["uid"] for entry in _get(f"{grafana}/api/search?type=dash-db", secret)}
        query = urllib.parse.urlencode({"query": panel_query(*PANEL)})
        proxy = f"{grafana}/api/datasources/proxy/uid/prometheus/api/v1/query?{query}"
        answered = _get(proxy, secret)["data"]["result"]
    except MonitoringError as error:
        return [str(error)]
    except (LookupError, TypeError) as error:
        return [f"{shown_url(grafana)}: the response of Grafana is not as expected: {error}"]
    lacking = [f"dashboard {uid} is not provisioned" for uid in sorted(expected - found)]
    return lacking if answered else [*lacking, f"panel {PANEL[1]!r}: no result from Prometheus through Grafana"]


def panel_query(file: str, title: str) -> str:
    """Return the first query of a panel with variables that match everything; raises KeyError for unknown titles."""
    for panel in json.loads((DASHBOARDS / file).read_text())["panels"]:
        if panel.get("title") == title:
            # The exporter is selected by exact matchers.
            expr = re.sub(r'="\$(?:job|instance)"', '=~".+"', str(panel["targets"][0]["expr"]))
            return re.sub(r"\$\{?\w+\}?", ".+", expr)
    raise KeyError(f"no panel {title!r} in {file}")


def password(command: tuple[str, ...]) -> str:
    """Return Grafana's password, which the setup service has generated."""
    read = ("run", "--rm", "-T", "setup", "cat", f"/starlight/secrets/{GRAFANA_PASSWORD}")
    return subprocess.run([*command, *read], capture_output=True, text=True, check=False, cwd=ROOT).stdout.strip()


def _health(command: tuple[str, ...], service: str) -> str:
    listed = subprocess.run([*command, "ps", "-q", service], capture_output=True, text=True, check=False, cwd=ROOT)
    container = listed.stdout.strip()
    if not container:
        return ""
    inspect = ["docker", "inspect", "--format", "{{.State.Health.Status}}", container]
    return subprocess.run(inspect, capture_output=True, text=True, check=False).stdout.strip()


def _get(url: str, secret: str) -> Any:
    client = HttpClient(lambda: basic_authorization("admin", secret))
    return client.get_json(url, "Grafana", timeout=15)

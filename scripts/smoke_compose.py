#!/usr/bin/env python3
"""Checks a running `docker compose up`: every service healthy, dashboards provisioned, a panel's query answered.

Exit code 0: all of it; 1: what is missing, told in one line each; 2: Docker cannot be asked.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stack import compose

ROOT = Path(__file__).resolve().parent.parent
DASHBOARDS = ROOT / "grafana" / "dashboards"
PANEL = ("overview.json", "False positive rate")
HEALTHY = ("notifications", "exporter", "alertmanager", "prometheus", "grafana")


def main() -> int:
    """See the text on top for the exit codes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grafana", default="http://127.0.0.1:3000", help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=300.0, help="longest wait for health (default: 300)")
    options = parser.parse_args()
    command = compose.command()
    if command is None:
        print("smoke_compose: no Docker engine answers, or compose is not installed", file=sys.stderr)
        return 2
    missing = [*unhealthy(command, options.seconds), *unprovisioned(options.grafana, password(command))]
    for line in missing:
        print(f"smoke_compose: {line}", file=sys.stderr)
    if not missing:
        print("every service is healthy, every dashboard is there, Prometheus answers through Grafana")
    return 1 if missing else 0


def unhealthy(command: tuple[str, ...], seconds: float) -> list[str]:
    """The services that are not healthy within so many seconds."""
    deadline = time.monotonic() + seconds
    waiting = list(HEALTHY)
    while waiting and time.monotonic() < deadline:
        waiting = [service for service in waiting if _health(command, service) != "healthy"]
        time.sleep(1 if waiting else 0)
    return [f"{service} is {_health(command, service) or 'not running'}" for service in waiting]


def unprovisioned(grafana: str, secret: str) -> list[str]:
    """What of dashboards, data source and a panel's query Grafana does not give."""
    files = sorted(DASHBOARDS.glob("*.json"))
    expected = {json.loads(file.read_text())["uid"] for file in files}
    try:
        found = {entry["uid"] for entry in _get(f"{grafana}/api/search?type=dash-db", secret)}
        query = urllib.parse.urlencode({"query": panel_query(*PANEL)})
        proxy = f"{grafana}/api/datasources/proxy/uid/prometheus/api/v1/query?{query}"
        answered = _get(proxy, secret)["data"]["result"]
    except (urllib.error.URLError, OSError, ValueError, KeyError) as error:
        return [f"{grafana}: {error}"]
    lacking = [f"dashboard {uid} is not provisioned" for uid in sorted(expected - found)]
    return lacking if answered else [*lacking, f"panel {PANEL[1]!r}: Prometheus has no answer, asked through Grafana"]


def panel_query(file: str, title: str) -> str:
    """The first query of a dashboard's panel, its variables matching everything; KeyError if there is no such panel."""
    for panel in json.loads((DASHBOARDS / file).read_text())["panels"]:
        if panel.get("title") == title:
            return re.sub(r"\$\{?\w+\}?", ".+", str(panel["targets"][0]["expr"]))
    raise KeyError(f"no panel {title!r} in {file}")


def password(command: tuple[str, ...]) -> str:
    """Grafana's password, as the setup service made it."""
    read = ("run", "--rm", "-T", "setup", "cat", "/starlight/secrets/grafana_admin_password")
    return subprocess.run([*command, *read], capture_output=True, text=True, check=False, cwd=ROOT).stdout.strip()


def _health(command: tuple[str, ...], service: str) -> str:
    listed = subprocess.run([*command, "ps", "-q", service], capture_output=True, text=True, check=False, cwd=ROOT)
    container = listed.stdout.strip()
    if not container:
        return ""
    asked = ["docker", "inspect", "--format", "{{.State.Health.Status}}", container]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


def _get(url: str, secret: str) -> Any:
    token = base64.b64encode(f"admin:{secret}".encode()).decode()
    request = urllib.request.Request(url, headers={"Authorization": f"Basic {token}"})
    with urllib.request.urlopen(request, timeout=15) as response:
        return json.load(response)


if __name__ == "__main__":
    sys.exit(main())

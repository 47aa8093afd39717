"""The stack in containers: `docker compose up`, then the first results."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from stack import results
from stack.errors import StackError
from stack.loaded import require_receivers, require_rules
from stack.pages import ALERTMANAGER_PAGES, PROMETHEUS_PAGES, page_address
from stack.passwords import GRAFANA_PASSWORD
from stack.ports import LOOPBACK, Ports

ROOT = Path(__file__).resolve().parent.parent
FIRST_RESULT_SECONDS = 900.0


def command() -> tuple[str, ...] | None:
    """Return the command of Compose v2 or docker-compose, or None if no Docker engine answers."""
    if shutil.which("docker") is None or not _succeeds("docker", "info", "--format", "{{.ServerVersion}}"):
        return None
    if _succeeds("docker", "compose", "version"):
        return ("docker", "compose")
    return ("docker-compose",) if shutil.which("docker-compose") is not None else None


def run(compose: Sequence[str], ports: Ports, console: Console, *, check: bool) -> None:
    """Build and start all services, print the first results, then follow the logs until Ctrl-C (with `check`: return).

    Stops the services in any case and keeps their volumes. Raises StackError if compose fails, or if Prometheus has no
    result after fifteen minutes.
    """
    # Compose reads the same variables; the environment takes precedence over its .env file.
    call = partial(_run_compose, compose, os.environ | ports.environment())
    try:
        call("up", "--build", "--detach")
        prometheus, alertmanager = (f"http://{LOOPBACK}:{port}" for port in (ports.prometheus, ports.alertmanager))
        require_rules(prometheus, ROOT / "prometheus" / "rules")
        require_receivers(alertmanager, ROOT / "alerting" / "alertmanager.yml")
        for name, page in (
            ("exporter", f"http://{LOOPBACK}:{ports.exporter}/"),
            ("prometheus", page_address(prometheus, PROMETHEUS_PAGES)),
            ("alertmanager", page_address(alertmanager, ALERTMANAGER_PAGES)),
            ("grafana", f"http://{LOOPBACK}:{ports.grafana}/"),
        ):
            console.print(f"{name:14} {page}", highlight=False)
        status_page = f"http://{LOOPBACK}:{ports.exporter}/"
        results.wait_for_first(prometheus, status_page, console, seconds=FIRST_RESULT_SECONDS, check=lambda: None)
        results.show(prometheus, Console())
        console.print("Grafana: user admin, password:", highlight=False)
        console.print(
            f"  {' '.join(compose)} run --rm setup cat /starlight/secrets/{GRAFANA_PASSWORD}", highlight=False
        )
        if not check:
            console.print("running; Ctrl-C stops everything")
            call("logs", "--follow", "--tail", "0")
    finally:
        call("stop")


def _run_compose(compose: Sequence[str], environment: Mapping[str, str], *arguments: str) -> None:
    done = subprocess.run([*compose, *arguments], check=False, cwd=ROOT, env=environment)
    if done.returncode != 0:
        raise StackError(f"{' '.join(compose)} {arguments[0]} failed; see above")


def _succeeds(*words: str) -> bool:
    return subprocess.run(words, capture_output=True, check=False).returncode == 0

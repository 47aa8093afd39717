"""The stack in containers: whether an engine answers, and `docker compose up` with the first results shown."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from stack import results
from stack.configuration import LOOPBACK, SHIPPED
from stack.processes import StackError

ROOT = Path(__file__).resolve().parent.parent
FIRST_RESULT_SECONDS = 900.0


def command() -> tuple[str, ...] | None:
    """Compose v2 or docker-compose, where a Docker engine answers; None where none does."""
    if shutil.which("docker") is None or not _succeeds("docker", "info", "--format", "{{.ServerVersion}}"):
        return None
    if _succeeds("docker", "compose", "version"):
        return ("docker", "compose")
    return ("docker-compose",) if shutil.which("docker-compose") is not None else None


def run(compose: Sequence[str], console: Console, *, check: bool) -> None:
    """Build and start every service, show the first results, then follow the logs until Ctrl-C; `check` ends before.

    StackError where compose fails, or Prometheus has no result after fifteen minutes. The services are stopped at the
    end, their volumes stay.
    """
    try:
        _compose(compose, "up", "--build", "--detach")
        for name, port in SHIPPED.named().items():
            console.print(f"{name:14} http://{LOOPBACK}:{port}", highlight=False)
        prometheus = f"http://{LOOPBACK}:{SHIPPED.prometheus}"
        status_page = f"http://{LOOPBACK}:{SHIPPED.exporter}/"
        results.wait_for_first(prometheus, status_page, console, seconds=FIRST_RESULT_SECONDS, still=lambda: None)
        results.show(prometheus, Console())
        console.print("Grafana: user admin; its password was made for this installation:", highlight=False)
        console.print(
            f"  {' '.join(compose)} run --rm setup cat /starlight/secrets/grafana_admin_password", highlight=False
        )
        if not check:
            console.print("running; Ctrl-C stops everything")
            _compose(compose, "logs", "--follow", "--tail", "0")
    finally:
        _compose(compose, "stop")


def _compose(compose: Sequence[str], *arguments: str) -> None:
    done = subprocess.run([*compose, *arguments], check=False, cwd=ROOT)
    if done.returncode != 0:
        raise StackError(f"{' '.join(compose)} {arguments[0]} failed; the reason stands above")


def _succeeds(*words: str) -> bool:
    return subprocess.run(words, capture_output=True, check=False).returncode == 0

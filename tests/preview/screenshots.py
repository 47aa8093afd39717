#!/usr/bin/env python3
"""Draws the README's pictures: runs the shipped stack with the shipped models on the reference dataset, and looks.

    .venv/bin/python tests/preview/pictures.py [--minutes 15] [--out docs/images]

Keep the machine quiet meanwhile: it times images. Exit code 0: written, of a healthy model; 1: written, but alerts
fire, which are named; 2: not written, with the reason.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from grafana.source.dashboard_builder import EXPORTER_URL
from stack.configuration import Ports, write_exporter
from starlight_exporter.models.cards import find_models
from support.browser import Browser
from support.dashboard_screenshots import render_dashboards
from support.servers import free_port

ROOT = Path(__file__).resolve().parents[2]
MODELS = len(find_models(ROOT / "models"))
FIRST_RESULTS_SECONDS = 1800.0
WIDTH = 1600


def main() -> int:
    """See the text on top for the exit codes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=15, help="how long to watch after the first results (15)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images", help="default: docs/images")
    options = parser.parse_args()
    ports = Ports(*(free_port() for _ in range(5)))
    try:
        with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder), ports):
            prometheus = f"http://127.0.0.1:{ports.prometheus}"
            wait_for_every_model(prometheus)
            began = time.time()
            time.sleep(60 * options.minutes)
            look(prometheus, f"http://127.0.0.1:{ports.exporter}", options.out, seconds=time.time() - began)
            firing = ask(prometheus, 'count by (alertname, severity) (ALERTS{alertstate="firing",severity!="info"})')
    except (AssertionError, OSError, RuntimeError, httpx.HTTPError) as error:
        print(f"pictures: {error}", file=sys.stderr)
        return 2
    for alert in firing:
        print(f"pictures: {alert['metric']['alertname']} fires ({alert['metric']['severity']})", file=sys.stderr)
    return 1 if firing else 0


@contextmanager
def running_stack(folder: Path, ports: Ports) -> Iterator[None]:
    """`scripts/up` with the shipped models and alerts on free ports, evaluating every few minutes; nothing is kept."""
    config = write_exporter(ROOT / "starlight.yml", folder / "run", dataset=None, model=None)
    settings = yaml.safe_load(config.read_text())
    settings["schedule"] = {"interval": "4m"}
    settings["paths"] = {"data": str(folder / "data"), "results": str(folder / "results")}
    config.write_text(yaml.safe_dump(settings))
    flags = [f"--{name}-port={port}" for name, port in ports.named().items()]
    command = [str(ROOT / "scripts" / "up"), "--native", f"--config={config}", f"--data={folder / 'data'}", *flags]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


def wait_for_every_model(prometheus: str) -> None:
    """Return once each has a result; RuntimeError if that takes too long."""
    deadline = time.monotonic() + FIRST_RESULTS_SECONDS
    while time.monotonic() < deadline:
        try:
            if ask(prometheus, f"count(starlight_evaluation_info) >= {MODELS}"):
                return
        except httpx.TransportError:
            pass  # Not started yet.
        time.sleep(2)
    raise RuntimeError(f"not every model had a result after {FIRST_RESULTS_SECONDS:g} s")


def ask(prometheus: str, expression: str) -> list[dict[str, Any]]:
    """The result of an instant query."""
    answer = httpx.get(f"{prometheus}/api/v1/query", params={"query": expression}, timeout=10.0)
    return list(answer.raise_for_status().json()["data"]["result"])


def look(prometheus: str, exporter: str, out: Path, *, seconds: float) -> None:
    """Every dashboard as `dashboard-NAME.png` and the exporter's status page as `status.png`."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as drawn:
        # The address that readers have, not this run's.
        render_dashboards(
            prometheus, Path(drawn), seconds=seconds, exporter=EXPORTER_URL, width=WIDTH, scrape_seconds=15
        )
        for picture in Path(drawn).glob("*.png"):
            (out / f"dashboard-{picture.name}").write_bytes(picture.read_bytes())
    with Browser(width=1280, height=1000) as browser:
        browser.open(exporter)
        browser.screenshot(out / "status.png")


if __name__ == "__main__":
    raise SystemExit(main())

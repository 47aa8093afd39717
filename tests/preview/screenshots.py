#!/usr/bin/env python3
"""Render the documents' screenshots: every dashboard over 24 hours with one incident, and the exporter's status page.

    .venv/bin/python tests/preview/screenshots.py [--dataset datasets/reference] [--out docs/images]

The exporter evaluates the shipped models for real: v4 in production, then v3 (the incident), then v4 again. These
results and latencies are repeated over a day of scrapes, the rules are evaluated over it, and the dashboards are
rendered from a Prometheus server with this history, and from VictoriaMetrics with a copy of it. Takes about 20
minutes. Other load on the machine increases the measured latency; as root, start the script with `chrt --fifo 1` to
reduce the effect.

Exit code 0: written; 2: failed, with the reason.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import httpx
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from preview.history import SCRAPE_SECONDS, Timeline, scrapes, write_scrapes
from preview.incident import record_incident
from preview.rule_history import write_rule_history

from stack.configuration import write_exporter
from starlight_exporter.models.cards import find_models
from support.browser import Browser
from support.dashboard_screenshots import render_dashboards
from support.exporter import Exporter
from support.servers import Prometheus, QueryServer
from support.victoria_metrics import VictoriaMetrics

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 1600
HOUR = 3600
REPETITIONS = 2
"""Recorded evaluations of all models per phase, in addition to the one after the change."""


def main() -> int:
    """Run the command; see the module docstring for exit codes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, default=ROOT / "datasets" / "reference", help="reference dataset")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images", help="default: docs/images")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            write_screenshots(Path(folder), options.dataset, options.out)
    except (AssertionError, OSError, RuntimeError, httpx.HTTPError) as error:
        print(f"screenshots: {error}", file=sys.stderr)
        return 2
    return 0


def write_screenshots(folder: Path, dataset: Path, out: Path) -> None:
    """Record the incident, write its history to a Prometheus server, and render dashboards and status page."""
    out.mkdir(parents=True, exist_ok=True)
    models = folder / "models"
    shutil.copytree(ROOT / "models", models)
    with Exporter(write_config(folder, models, dataset)) as exporter:
        recorded = record_incident(exporter, models, count=len(find_models(models)), repetitions=REPETITIONS)
        with Browser(width=1280, height=1000) as browser:
            browser.open(exporter.url)
            browser.screenshot(out / "status.png")
    data = folder / "tsdb"
    data.mkdir()
    config = folder / "prometheus.yml"
    config.write_text("{}\n")
    end = int(time.time()) // SCRAPE_SECONDS * SCRAPE_SECONDS
    # The windows of the rules reach back before the displayed day.
    start = end - 25 * HOUR
    timeline = Timeline(start, end - 9 * HOUR - 10 * 60, end - 7 * HOUR - 25 * 60, end)
    write_scrapes(data, scrapes(timeline, recorded))
    write_rule_history(config, data, start=start, end=end)
    flags = ["--web.enable-admin-api"]
    with Prometheus(config, data, log=folder / "prometheus.log", flags=flags) as prometheus:
        _render(prometheus, out, "dashboard", "Prometheus", end=end)
        with VictoriaMetrics(folder / "store", log=folder / "store.log") as store:
            store.copy_scrapes(prometheus, data)
            _render(store, out, "victoria-metrics", "VictoriaMetrics", end=end)


def _render(server: QueryServer, out: Path, prefix: str, source: str, *, end: float) -> None:
    with tempfile.TemporaryDirectory() as name:
        rendered = Path(name)
        render_dashboards(
            server.url,
            rendered,
            seconds=24 * HOUR,
            end=end,
            width=WIDTH,
            scrape_seconds=SCRAPE_SECONDS,
            source=source,
        )
        for screenshot in rendered.glob("*.png"):
            shutil.copyfile(screenshot, out / f"{prefix}-{screenshot.name}")


def write_config(folder: Path, models: Path, dataset: Path) -> Path:
    """Write the shipped configuration with the models and data in `folder`."""
    production = models / "production" / "model.onnx"
    config = write_exporter(ROOT / "config" / "starlight.yml", folder / "run", dataset=dataset, model=production)
    settings = yaml.safe_load(config.read_text())
    settings["research"]["models_dir"] = str(models)
    settings["paths"] = {name: str(folder / name) for name in ("data", "results", "documents")}
    # Evaluations are requested; the interval is that of the history.
    settings["schedule"] = {"interval": "15m"}
    config.write_text(yaml.safe_dump(settings))
    return config


if __name__ == "__main__":
    raise SystemExit(main())

"""Draws docs/images/status.png: the exporter's status page over the shipped models and the reference dataset.

    .venv/bin/python tests/preview/status_page.py

Measures every configured model first, in an exporter of its own whose data is thrown away: a minute or two.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import httpx
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from stack.configuration import write_exporter
from support.browser import Browser
from support.exporter import Exporter

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 900.0


def main() -> None:
    """Measure, draw, and say where the picture is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, default=ROOT / "datasets" / "reference", metavar="DIR")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "status.png", metavar="FILE")
    options = parser.parse_args()
    if not options.dataset.is_dir():
        raise SystemExit(f"{options.dataset}: no such dataset folder; scripts/up makes the reference dataset")
    with tempfile.TemporaryDirectory(prefix="starlight-status-") as name:
        folder = Path(name)
        config = write_exporter(ROOT / "starlight.yml", folder, dataset=options.dataset, model=None)
        settings = yaml.safe_load(config.read_text())
        settings["paths"] |= {"data": str(folder / "data"), "results": str(folder / "results")}
        settings["analyses"] = {}
        config.write_text(yaml.safe_dump(settings))
        with Exporter(config) as exporter:
            exporter.wait_for(lambda: _measured(exporter), "a result of every model", timeout=PATIENCE_SECONDS)
            with Browser(width=1280, height=1000) as browser:
                browser.open(exporter.url)
                browser.screenshot(options.out)
    print(options.out)


def _measured(exporter: Exporter) -> bool:
    """Whether the page has everything to show."""
    cells = httpx.get(f"{exporter.url}/status.json", timeout=30.0).raise_for_status().json()["cells"]
    return all(cell["evaluation"] and not cell["in_progress"] for cell in cells)


if __name__ == "__main__":
    main()

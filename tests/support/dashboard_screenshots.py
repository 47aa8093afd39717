"""Render the dashboards in Chromium with Grafana's own components and data from Prometheus (tests/preview)."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from support.dashboards import FILES, NAMES
from support.locks import locked
from support.servers import program

PREVIEW = Path(__file__).resolve().parents[1] / "preview"
BUILD_INPUTS = ("package-lock.json", "vite.config.ts", "index.html")


def build_preview() -> Path:
    """Build the preview if its sources have changed and return its folder; skip if a program or font is missing."""
    for needed in ("node", "npm", "chromium"):
        program(needed)
    if shutil.which("fc-match") and "Inter" not in run(["fc-match", "Inter"], PREVIEW):
        pytest.skip("the font Inter is not installed; on Debian: apt-get install fonts-inter")
    sources = [*(PREVIEW / name for name in BUILD_INPUTS), *sorted((PREVIEW / "src").iterdir())]
    expected = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    stamp = PREVIEW / "dist" / ".build-inputs.sha256"
    # Several workers may build at the same time.
    with locked(PREVIEW):
        if not stamp.exists() or stamp.read_text() != expected:
            if not (PREVIEW / "node_modules").is_dir():
                run(["npm", "ci", "--no-audit", "--no-fund"], PREVIEW)
            run(["npx", "vite", "build"], PREVIEW)
            stamp.write_text(expected)
    return PREVIEW


def render_dashboards(
    prometheus: str,
    out: Path,
    *,
    seconds: float,
    end: float | None = None,
    width: int = 1280,
    scrape_seconds: float = 3,
    files: Sequence[Path] = FILES,
    source: str = "Prometheus",
) -> dict[str, Any]:
    """Write a screenshot of each dashboard to `out` and return the report of its panels, by dashboard.

    The time range ends at `end` (UTC seconds, by default now) and is `seconds` long. `source` is the name of the data
    source that is shown. Raises AssertionError if a screenshot is nearly empty.
    """
    out.mkdir(parents=True, exist_ok=True)
    end_ms = int(1000 * (time.time() if end is None else end))
    options: Mapping[str, object] = {
        "prometheus": prometheus,
        "chromium": program("chromium"),
        "out": out,
        "width": width,
        "scrape-ms": int(1000 * scrape_seconds),
        "from": end_ms - int(1000 * seconds),
        "to": end_ms,
        "var": f"datasource={source}",
    }
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    reports: dict[str, Any] = json.loads(run(["node", "render.mjs", *flags, *map(str, files)], build_preview()))
    names = [name for name in NAMES if any(file.stem == name for file in files)]
    assert all((out / f"{name}.png").stat().st_size > 50_000 for name in names), "nearly empty screenshots"
    return reports


def run(command: Sequence[str], folder: Path) -> str:
    """Run a command and return its output. Raises AssertionError with the end of the output if it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, f"{command[0]}: {(done.stdout + done.stderr)[-3000:]}"
    return done.stdout

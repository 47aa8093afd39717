"""The dashboards drawn in Chromium over a Prometheus, with Grafana's own components (tests/preview)."""

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
from support.servers import program

PREVIEW = Path(__file__).resolve().parents[1] / "preview"
BUILT_OF = ("package-lock.json", "vite.config.ts", "index.html")


def build_preview() -> Path:
    """The preview's folder, built anew only where its sources have changed; skips where what it needs is missing."""
    for needed in ("node", "npm", "chromium"):
        program(needed)
    if shutil.which("fc-match") and "Inter" not in run(["fc-match", "Inter"], PREVIEW):
        pytest.skip("the font Inter is not installed; on Debian: apt-get install fonts-inter")
    sources = [*(PREVIEW / name for name in BUILT_OF), *sorted((PREVIEW / "src").iterdir())]
    wanted = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    stamp = PREVIEW / "dist" / ".built-of"
    if not stamp.exists() or stamp.read_text() != wanted:
        if not (PREVIEW / "node_modules").is_dir():
            run(["npm", "ci", "--no-audit", "--no-fund"], PREVIEW)
        run(["npx", "vite", "build"], PREVIEW)
        stamp.write_text(wanted)
    return PREVIEW


def render_dashboards(
    prometheus: str,
    out: Path,
    *,
    seconds: float,
    exporter: str,
    width: int = 1280,
    scrape_seconds: float = 3,
    files: Sequence[Path] = FILES,
) -> dict[str, Any]:
    """What became of every panel, by dashboard, over the last so many seconds; a picture of each in the folder `out`.

    AssertionError if a picture shows next to nothing.
    """
    out.mkdir(parents=True, exist_ok=True)
    now = int(time.time() * 1000)
    options: Mapping[str, object] = {
        "prometheus": prometheus,
        "chromium": program("chromium"),
        "out": out,
        "width": width,
        "scrape-ms": int(1000 * scrape_seconds),
        "from": now - int(1000 * seconds),
        "to": now,
        "var": f"exporter={exporter}",
    }
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    reports: dict[str, Any] = json.loads(run(["node", "draw.mjs", *flags, *map(str, files)], build_preview()))
    names = [name for name in NAMES if any(file.stem == name for file in files)]
    assert all((out / f"{name}.png").stat().st_size > 50_000 for name in names), "pictures with next to nothing on them"
    return reports


def run(command: Sequence[str], folder: Path) -> str:
    """A command's output; AssertionError with its end if it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, f"{command[0]}: {(done.stdout + done.stderr)[-3000:]}"
    return done.stdout

"""Every dashboard drawn in Chromium with Grafana's own components: no panel fails, and none is empty without a reason.

STARLIGHT_DRAWINGS=FOLDER keeps the pictures.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from support.dashboards import FILES, NAMES
from support.servers import Prometheus, program

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

PREVIEW = Path(__file__).resolve().parents[2] / "preview"
BUILT_OF = ("package-lock.json", "vite.config.ts", "index.html")
HISTORY_SECONDS = 300

LEGITIMATELY_EMPTY = {
    "Content changed": "the dataset did not change while the exporter watched",
    "Latency p99": "a p99 needs more timings than this dataset has images",
}


@pytest.fixture(scope="session")
def preview() -> Path:
    """The built preview; built anew only where its sources have changed."""
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


@pytest.fixture(scope="session")
def drawn(preview: Path, measured: Prometheus, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What became of every panel, by dashboard."""
    out = Path(os.environ.get("STARLIGHT_DRAWINGS") or tmp_path_factory.mktemp("drawings"))
    out.mkdir(parents=True, exist_ok=True)
    now = int(time.time() * 1000)
    options = {
        "prometheus": measured.url,
        "chromium": program("chromium"),
        "out": out,
        "width": 1280,
        "scrape-ms": 3000,
        "from": now - 1000 * HISTORY_SECONDS,
        "to": now,
    }
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    reports: dict[str, Any] = json.loads(run(["node", "draw.mjs", *flags, *map(str, FILES)], preview))
    assert all((out / f"{name}.png").stat().st_size > 50_000 for name in NAMES), "pictures with next to nothing on them"
    return reports


@pytest.mark.parametrize("name", NAMES)
def test_no_panel_fails_and_none_is_empty(drawn: dict[str, Any], name: str) -> None:
    panels = drawn[name]["panels"].values()
    failed = [panel for panel in panels if panel["status"] not in ("ok", "empty")]
    empty = {panel["title"] for panel in panels if panel["status"] == "empty"}
    assert failed == []
    assert empty <= set(LEGITIMATELY_EMPTY)


@pytest.mark.parametrize("name", NAMES)
def test_grafanas_components_have_no_complaint(drawn: dict[str, Any], name: str) -> None:
    assert (drawn[name]["warnings"], drawn[name]["errors"]) == ([], [])


def run(command: list[str], folder: Path) -> str:
    """A command's output; AssertionError with its end if it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, f"{command[0]}: {(done.stdout + done.stderr)[-3000:]}"
    return done.stdout

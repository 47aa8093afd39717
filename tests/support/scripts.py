"""Run the scripts of the repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

SCRIPTS: Final = Path(__file__).resolve().parents[2] / "scripts"


def run_script(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script to its end, with a terminal that is wide enough for every table."""
    command = [sys.executable, str(SCRIPTS / name), *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "250"}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, env=environment)

"""The reference dataset: 2,000 generated images."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from stack.errors import StackError

RECIPE = ("--seed", "2026", "--clean", "1000", "--stego", "800", "--negatives", "200")
"""Flags of `starlight dataset make`."""


def make_reference_dataset(folder: Path) -> None:
    """Generate the dataset unless it exists. Raises StackError if that fails."""
    command = (sys.executable, "-m", "starlight_exporter.cli.main", "dataset", "make", "--out", str(folder), *RECIPE)
    if subprocess.run(command, check=False).returncode != 0:
        raise StackError("the reference dataset could not be generated; see above")

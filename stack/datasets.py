"""The shipped datasets: generated images."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from stack.errors import StackError
from starlight_exporter.config import Config

REFERENCE: Final = "reference"
REFERENCE_COUNTS: Final = {"seed": 2026, "clean": 1000, "stego": 800, "negatives": 200}
DATASETS: Final[dict[str, tuple[str, ...]]] = {
    REFERENCE: tuple(word for name, value in REFERENCE_COUNTS.items() for word in (f"--{name}", str(value))),
    "payloads": ("--recipe", "payloads", "--seed", "2026"),
    "sizes": ("--recipe", "sizes", "--seed", "2026"),
    "sources": ("--recipe", "sources", "--seed", "2026"),
    "adversarial": ("--recipe", "adversarial"),
}
"""Name in the shipped configuration → flags of `starlight dataset make`."""


def shipped_datasets(config: Config, folder: Path) -> tuple[str, ...]:
    """Return the names of the configured datasets that are shipped ones in `folder`, in the order of the file."""
    folders = {folder / name: name for name in DATASETS}
    return tuple(folders[dataset.path] for dataset in config.datasets if dataset.path in folders)


def make_dataset(name: str, folder: Path) -> None:
    """Generate a shipped dataset unless it exists. Raises StackError if that fails."""
    command = (sys.executable, "-m", "starlight_exporter.cli.main", "dataset", "make", "--out", str(folder))
    if subprocess.run((*command, *DATASETS[name]), check=False).returncode != 0:
        raise StackError(f"the dataset {name} could not be generated; see above")

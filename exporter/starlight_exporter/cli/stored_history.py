"""Flags that select a stored history, and its evaluations."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from starlight_exporter.cli import history_export
from starlight_exporter.config_location import locate_config

if TYPE_CHECKING:
    from starlight_exporter.evaluation.results import Evaluation


def add_history(parser: argparse.ArgumentParser) -> None:
    """Add the history file, or the configuration that names its folder."""
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--history", type=Path, metavar="FILE", help="history.jsonl (default: that of the configuration)"
    )
    history_export.add_config(chosen)


def stored_evaluations(options: argparse.Namespace) -> Iterator[Evaluation]:
    """Yield all evaluations, oldest first.

    Raise ConfigError, and StorageError if there is no history or a file that contains no evaluation.
    """
    from starlight_exporter.api import read_history
    from starlight_exporter.config import load_config
    from starlight_exporter.errors import StorageError

    path = options.history
    if path is None:
        config = load_config(locate_config(options.config_file, options.config_root))
        path = config.paths.data / "history.jsonl"
    found = False
    for evaluation in read_history(path):
        found = True
        yield evaluation
    # The history of a new exporter is an empty file.
    if not found and path.exists() and path.stat().st_size > 0:
        raise StorageError(f"{path}: contains no evaluation; expected the history.jsonl of an exporter")

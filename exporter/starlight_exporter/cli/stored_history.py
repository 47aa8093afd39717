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
    """Return all evaluations, oldest first. Raise StorageError if there is no history, and ConfigError."""
    from starlight_exporter.api import read_history
    from starlight_exporter.config import load_config

    if options.history is not None:
        return read_history(options.history)
    config = load_config(locate_config(options.config_file, options.config_root))
    return read_history(config.paths.data / "history.jsonl")

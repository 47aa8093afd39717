"""Export the stored results as OpenMetrics with timestamps, for `promtool tsdb create-blocks-from`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from starlight_exporter.errors import ConfigError
from starlight_exporter.exit_codes import OK
from starlight_exporter.files import replacing

DEFAULT_CONFIG = Path("starlight.yml")


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:
    """Add the flags."""
    add_config(parser, root / DEFAULT_CONFIG)
    parser.add_argument("--output", type=Path, help="file to write (default: standard output)")


def add_config(parser: argparse.ArgumentParser, default: object) -> None:
    """Add the path of the configuration file."""
    parser.add_argument(
        "--config.file", dest="config_file", type=Path, default=default, help=f"default {DEFAULT_CONFIG}"
    )


def run(options: argparse.Namespace) -> int:
    """Write all samples to standard output, or atomically to a file."""
    from starlight_exporter.config import load_config
    from starlight_exporter.publish.backfill import export_openmetrics
    from starlight_exporter.publish.history import History

    evaluations = History(load_config(options.config_file).paths.data / "history.jsonl").evaluations()
    if options.output is None:
        export_openmetrics(evaluations, sys.stdout)
        return OK
    try:
        # Atomically: promtool would import a truncated file as if it were complete.
        with replacing(options.output) as temporary, temporary.open("w", encoding="utf-8") as file:
            samples = export_openmetrics(evaluations, file)
    except OSError as error:
        raise ConfigError(f"--output: cannot write {options.output}: {error.strerror}") from error
    print(f"{options.output}: {samples} samples", file=sys.stderr)
    return OK

"""Write the rates of all stored evaluations as a Parquet file: one row per evaluation, metric and slice.

The rows and columns are those of `Evaluation.to_frame`. Images are not part of them. Requires the extra `parquet`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from starlight_exporter.cli.stored_history import add_history, stored_evaluations
from starlight_exporter.exit_codes import OK
from starlight_exporter.files import open_output


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:
    """Add the flags."""
    add_history(parser)
    parser.set_defaults(config_root=root)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="file to write")


def run(options: argparse.Namespace) -> int:
    """Write all rows to the file."""
    from starlight_exporter.formatting import integer
    from starlight_exporter.publish.history_tables import write_history_parquet

    evaluations = stored_evaluations(options)
    with open_output(options.output) as file:
        rows = write_history_parquet(evaluations, file)
    print(f"{options.output}: {integer(rows)} rows", file=sys.stderr)
    return OK

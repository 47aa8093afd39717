"""Write the rates of all stored evaluations as CSV: one row per evaluation, metric and slice.

The rows and columns are those of `Evaluation.to_frame`. Images are not part of them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from starlight_exporter.cli import history_export
from starlight_exporter.cli.stored_history import add_history, stored_evaluations
from starlight_exporter.exit_codes import OK
from starlight_exporter.files import open_output


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:
    """Add the flags."""
    add_history(parser)
    history_export.add_output(parser, root)


def run(options: argparse.Namespace) -> int:
    """Write all rows to standard output, or to a file."""
    from starlight_exporter.publish.history_tables import history_csv

    parts = history_csv(stored_evaluations(options))
    if options.output is None:
        for part in parts:
            sys.stdout.write(part)
        return OK
    with open_output(options.output) as file:
        for part in parts:
            file.write(part.encode())
    return OK

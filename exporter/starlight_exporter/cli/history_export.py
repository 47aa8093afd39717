"""Export the stored results as OpenMetrics with timestamps, for `promtool tsdb create-blocks-from`.

Dashboards select an exporter by job and instance: add both with --label, with the values that Prometheus has.
"""

from __future__ import annotations

import argparse
import codecs
import re
import sys
from pathlib import Path

from starlight_exporter.config_location import CONFIG_FILE, locate_config
from starlight_exporter.exit_codes import OK
from starlight_exporter.files import open_output


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:
    """Add the flags."""
    add_config(parser)
    add_output(parser, root)
    add_labels(parser)


def add_config(parser: argparse._ActionsContainer, default: object = None) -> None:
    """Add the path of the configuration file, for `locate_config`."""
    parser.add_argument("--config.file", dest="config_file", type=Path, default=default, help=f"default {CONFIG_FILE}")


def add_output(parser: argparse.ArgumentParser, root: Path) -> None:
    """Add the output file; the default configuration is in `root`."""
    parser.set_defaults(config_root=root)
    parser.add_argument("--output", type=Path, help="file to write (default: standard output)")


def add_labels(parser: argparse.ArgumentParser) -> None:
    """Add the labels of all samples."""
    parser.add_argument(
        "--label",
        dest="labels",
        type=_label,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="label of all samples, such as instance=127.0.0.1:9877 (repeatable)",
    )


def run(options: argparse.Namespace) -> int:
    """Write all samples to standard output, or to a file."""
    from starlight_exporter.config import load_config
    from starlight_exporter.publish.backfill import export_openmetrics
    from starlight_exporter.publish.history import History

    config = load_config(locate_config(options.config_file, options.config_root))
    evaluations = History(config.paths.data / "history.jsonl").evaluations()
    if options.output is None:
        export_openmetrics(evaluations, sys.stdout, extra_labels=dict(options.labels))
        return OK
    # Regular files atomically: promtool would import a truncated file as if it were complete.
    with open_output(options.output) as file:
        writer = codecs.getwriter("utf-8")(file)
        samples = export_openmetrics(evaluations, writer, extra_labels=dict(options.labels))
    print(f"{options.output}: {samples} samples", file=sys.stderr)
    return OK


def _label(text: str) -> tuple[str, str]:
    """Parse a label. Raises ArgumentTypeError."""
    name, separator, value = text.partition("=")
    # Names that begin with two underscores are reserved.
    if not separator or not value or not re.fullmatch(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*", name):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    return name, value

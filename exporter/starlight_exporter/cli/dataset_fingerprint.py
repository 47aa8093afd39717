"""Print the fingerprint of a dataset: it changes with any file or label, and is the key of caches in CI.

Exit code 2: not a dataset.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from starlight_exporter.cli.arguments import DATASET_HELP, dataset_root
from starlight_exporter.exit_codes import OK


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:  # noqa: ARG001  # no default paths
    """Add the flags."""
    parser.add_argument("dataset", type=dataset_root, metavar="DATASET", help=DATASET_HELP)


def run(options: argparse.Namespace) -> int:
    """Scan the dataset and print its fingerprint."""
    from starlight_exporter.dataset.layout import scan
    from starlight_exporter.dataset.sources.root import root_name

    print(scan(root_name(options.dataset), options.dataset).fingerprint)
    return OK

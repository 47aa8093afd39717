"""Write a labelled dataset as tar or Parquet shards with a label manifest, for object stores and large datasets.

Paths, labels and contents stay the same, so that an evaluation of the shards has the same predictions. Tar shards can
be read as WebDataset, Parquet shards by the library `datasets` of Hugging Face.
Exit code 2: not a dataset, a file cannot be read, or DIR is not empty or inside the dataset.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from starlight_exporter.cli.arguments import DATASET_HELP, dataset_root
from starlight_exporter.cli.command import clean_up_when_terminated
from starlight_exporter.exit_codes import OK


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:  # noqa: ARG001  # no default paths
    """Add the flags."""
    parser.add_argument("dataset", type=dataset_root, metavar="DATASET", help=DATASET_HELP)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder to create; must be empty or not exist"
    )
    parser.add_argument(
        "--format", choices=("tar", "parquet"), default="tar", help="format of the shards (default: tar)"
    )


def run(options: argparse.Namespace) -> int:
    """Write the shards; an interrupted run leaves nothing behind."""
    from starlight_exporter.cli.console import progress_bar
    from starlight_exporter.dataset.sources.packing import pack

    clean_up_when_terminated()
    try:
        with progress_bar("packing") as progress:
            shards = pack(options.dataset, options.out, options.format, progress=progress)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("nothing was left behind") from None
    print(f"{options.out}: {shards} shard{'s' * (shards != 1)} and labels.csv")
    return OK

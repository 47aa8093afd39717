"""Write the content hashes of a model's training files next to the model, as `training_files.sha256`.

The exporter then counts how many files of a dataset the model was trained on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from starlight_exporter.cli.arguments import dataset_root
from starlight_exporter.exit_codes import OK


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:  # noqa: ARG001  # no default paths
    """Add the flags."""
    parser.add_argument(
        "datasets", nargs="+", type=dataset_root, metavar="DATASET", help="datasets that the model was trained on"
    )
    parser.add_argument(
        "--model", type=Path, required=True, metavar="FILE", help="model; the hashes are written next to it"
    )


def run(options: argparse.Namespace) -> int:
    """Hash the files and write the manifest."""
    from starlight_exporter.dataset.layout import scan
    from starlight_exporter.dataset.sources.root import root_name
    from starlight_exporter.files import write_text
    from starlight_exporter.models.training_files import MANIFEST_NAME, manifest_text

    output = options.model.with_name(MANIFEST_NAME)
    files = [file for folder in options.datasets for file in scan(root_name(folder), folder).files]
    write_text(output, manifest_text(files))
    print(f"{output}: {len({file.sha256 for file in files if file.sha256})} distinct files")
    return OK

#!/usr/bin/env python3
"""Write which files a model was trained on, as content hashes, beside the model: `training_files.sha256`.

The exporter then counts how many files of a dataset the model has seen in training. Exit code 0: written; 2: a dataset
cannot be read, or the file cannot be written.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from starlight_exporter.dataset.layout import scan
from starlight_exporter.errors import StarlightError
from starlight_exporter.files import write_text
from starlight_exporter.models.training_files import MANIFEST_NAME, manifest_text


def main() -> int:
    """See the text on top for the exit codes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+", type=Path, metavar="DIR", help="folders that the model was trained on")
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help="the model; the file goes beside it")
    options = parser.parse_args()
    output = options.model.with_name(MANIFEST_NAME)
    try:
        files = [file for folder in options.datasets for file in scan(folder.name, folder).files]
        write_text(output, manifest_text(files))
    except StarlightError as error:
        print(f"hash_dataset: {error}", file=sys.stderr)
        return 2
    print(f"{output}: {len({file.sha256 for file in files if file.sha256})} different files")
    return 0


if __name__ == "__main__":
    sys.exit(main())

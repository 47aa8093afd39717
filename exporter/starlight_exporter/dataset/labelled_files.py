"""Find the files of a labelled dataset in one of its three layouts.

The names in the root determine the layout:

1. `labels.csv`, `labels.jsonl` or `labels.parquet`: a label manifest, whatever else there is (see `manifest`).
2. `metadata.csv` or `metadata.jsonl`: ImageFolder with metadata (see `metadata`). Class folders next to it are
   ambiguous, and an error.
3. Class folders (see `class_folders`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from starlight_exporter.dataset.found_files import FoundFile, FoundFiles
from starlight_exporter.dataset.labels import Labels, read_labels
from starlight_exporter.dataset.manifest import read_manifest
from starlight_exporter.dataset.walk import find_all_files, find_files
from starlight_exporter.errors import DatasetError

LabelsOf = Callable[[FoundFile], Labels]


@dataclass(frozen=True, slots=True)
class LabelledFiles:
    """The files of a dataset and the function that returns their labels.

    `has_manifest` is whether a file in the root states the labels. `clean_folder` is the folder that the covers stated
    by sidecars are in.
    """

    found: FoundFiles
    labels_of: LabelsOf
    has_manifest: bool
    clean_folder: str


def find_labelled_files(root: Path) -> LabelledFiles:
    """Return the files of a labelled dataset; nothing is opened except a file with labels in its root.

    Raise DatasetError if `root` has none of the layouts, or it is ambiguous which, or there is no file.
    """
    manifest = read_manifest(root)
    if manifest is not None:
        found = find_all_files(root, manifest.classes, manifest=manifest.name)
        files = LabelledFiles(found, manifest.labels_of, has_manifest=True, clean_folder="clean")
        where = ""
    else:
        folders, found = find_files(root)
        clean = next((name for name, file_class in folders.items() if file_class == "clean"), "clean")
        files = LabelledFiles(found, read_labels, has_manifest=False, clean_folder=clean)
        where = f" in {', '.join(f'{name}/' for name in folders)}"
    if not found:
        raise DatasetError(f"{root}: no images{where}")
    return files

"""Labels of a dataset in the layout ImageFolder of Hugging Face, with `metadata.csv` or `metadata.jsonl` in its root.

The column `file_name` is the path of an image, the column `label` (or `class`) the name of its class as for class
folders. Columns with names of the label manifest have the same meaning as there. Other columns are ignored, because
metadata may describe anything. All other rules are those of the label manifest.
Source: https://huggingface.co/docs/datasets/image_dataset#imagefolder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from starlight_exporter.dataset.class_folders import CLASS_NAMES, class_named
from starlight_exporter.dataset.manifest_rows import COLUMNS, FILE_NAME, REQUIRED, ManifestError, ManifestRow
from starlight_exporter.detector.contract import TECHNIQUES

LABELS: Final = ("label", "class")
"""Columns with the name of the class."""
_SHARED: Final = tuple(column for column in COLUMNS if column not in REQUIRED)


def as_manifest_row(row: ManifestRow) -> ManifestRow:
    """Return a row of the metadata as a row of a label manifest. Raise ManifestError if its class is not certain."""
    if FILE_NAME not in row.cells:
        raise ManifestError(f"{row.where}: has no {FILE_NAME}")
    stated = [column for column in LABELS if column in row.cells]
    if len(stated) != 1:
        problem = f"has both {' and '.join(LABELS)}" if stated else f"has no {' or '.join(LABELS)}"
        raise ManifestError(f"{row.where}: {problem}")
    value = row.cells[stated[0]]
    label = class_named(value)
    if label is None:
        raise ManifestError(
            f"{row.where}: {stated[0]} must be the name of a class, {', '.join(CLASS_NAMES)}; got {str(value)[:40]!r}"
        )
    cells: dict[str, object] = {column: row.cells[column] for column in _SHARED if column in row.cells}
    if label.method is not None:
        _check_method(row, cells, label.method)
        cells["method"] = label.method
    return ManifestRow(row.where, {**cells, "path": row.cells[FILE_NAME], "class": label.file_class})


def _check_method(row: ManifestRow, cells: Mapping[str, object], method: str) -> None:
    given = cells.get("method")
    if given is not None and (not isinstance(given, str) or TECHNIQUES.get(given.lower()) != method):
        raise ManifestError(f"{row.where}: the label is {method}, the method {str(given)[:40]!r}")

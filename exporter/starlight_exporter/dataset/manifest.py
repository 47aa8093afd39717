"""Labels of a dataset from its label manifest, `labels.csv`, `labels.jsonl` or `labels.parquet` in its root.

The metadata of ImageFolder are read the same way (see `metadata`). With a manifest, images may be anywhere below the
root, and the manifest is the only source of labels: folders, file names and sidecars are not read. Errors are of two
kinds:

- The dataset cannot be used (DatasetError) if it is uncertain which files the manifest lists or what they are: more
  than one manifest, a manifest that cannot be read or is damaged, unknown columns, a path that is not relative and
  normalised, a path listed twice, a missing or unknown class.
- A file is not measured if its own labels are missing or wrong: it is not listed, or is listed but not found; a stego
  file has no known method, a negative no category; a value is invalid or does not apply to the class.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlight_exporter.dataset.class_folders import class_named
from starlight_exporter.dataset.dataset import LABELLED_CLASSES, FileClass
from starlight_exporter.dataset.found_files import FoundFile
from starlight_exporter.dataset.ignored import MANIFEST_NAMES, METADATA_NAMES
from starlight_exporter.dataset.labels import Labels, unlabelled
from starlight_exporter.dataset.manifest_rows import ManifestError, ManifestRow, manifest_rows
from starlight_exporter.dataset.metadata import as_manifest_row
from starlight_exporter.dataset.names import LONGEST_COVER, LONGEST_SOURCE, is_cover, is_source
from starlight_exporter.dataset.sidecar import BIT_ORDERS, MAX_PAYLOAD_BYTES
from starlight_exporter.detector.contract import TECHNIQUES
from starlight_exporter.errors import DatasetError
from starlight_exporter.file_access import read_content

MAX_MANIFEST_BYTES: Final = 64 * 1024 * 1024
_LONGEST_PATH: Final = 4096
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_FORMULA: Final = ("=", "+", "-", "@")
"""A spreadsheet evaluates a text that begins with one of these."""
_STEGO_ONLY: Final = ("method", "payload_bytes", "bit_order", "reaches_crop")


@dataclass(frozen=True, slots=True)
class Manifest:
    """The classes and labels of the listed files, by path. `name` is the file name of the manifest."""

    name: str
    classes: Mapping[str, FileClass]
    labels: Mapping[str, Labels]

    def labels_of(self, found: FoundFile) -> Labels:
        """Return the labels of a file of the dataset; a file that is not listed is `unlabelled`."""
        labels = self.labels.get(found.path)
        return unlabelled(found.path, f"is not listed in {self.name}") if labels is None else labels


def read_manifest(root: Path) -> Manifest | None:
    """Return the label manifest in the root of a dataset, otherwise its metadata, None without either.

    Raise DatasetError; see the module.
    """
    manifest = _only(root, MANIFEST_NAMES, "label manifest")
    name = manifest or _only(root, METADATA_NAMES, "metadata file")
    if name is None:
        return None
    if manifest is None:
        _require_no_class_folders(root, name)
    try:
        data = read_content(root / name, max_bytes=MAX_MANIFEST_BYTES, root=root).data
    except OSError as error:
        raise DatasetError(f"{root / name}: cannot be read: {error.strerror or error}") from error
    classes: dict[str, FileClass] = {}
    labels: dict[str, Labels] = {}
    try:
        rows = manifest_rows(name, data)
        for row in rows if manifest is not None else map(as_manifest_row, rows):
            path = _path(row, classes)
            classes[path] = _class(row)
            labels[path] = _labels(row, path, classes[path])
    except ManifestError as error:
        raise DatasetError(f"{root / name}: {error}") from error
    return Manifest(name, classes, labels)


def _only(root: Path, names: Sequence[str], title: str) -> str | None:
    present = [name for name in names if os.path.lexists(root / name)]
    if len(present) > 1:
        raise DatasetError(f"{root}: has more than one {title}: {', '.join(present)}")
    return present[0] if present else None


def _require_no_class_folders(root: Path, metadata: str) -> None:
    """Raise DatasetError if class folders could be the labels as well as the metadata."""
    try:
        folders = sorted(entry.name for entry in root.iterdir() if class_named(entry.name) and entry.is_dir())
    except OSError as error:
        raise DatasetError(f"{root}: cannot be listed: {error.strerror}") from error
    if folders:
        raise DatasetError(
            f"{root}: ambiguous: has {metadata} and the class folder {folders[0]}; rename one of them, or add a label"
            " manifest, which takes precedence"
        )


def _path(row: ManifestRow, listed: Collection[str]) -> str:
    path = row.cells.get("path")
    if not isinstance(path, str):
        raise ManifestError(f"{row.where}: has no path")
    if _SURROGATE.search(path):
        # Python cannot encode it; JSON can contain it as \ud800.
        raise ManifestError(f"{row.where}: path {path[:200]!r} is not valid Unicode")
    if len(path) > _LONGEST_PATH or "\0" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise ManifestError(
            f"{row.where}: path {path[:200]!r} must be relative to the dataset, without empty parts, . and .."
        )
    if path in listed:
        raise ManifestError(f"{row.where}: lists {path[:200]!r} a second time")
    return path


def _class(row: ManifestRow) -> FileClass:
    file_class = row.cells.get("class")
    found = next((known for known in LABELLED_CLASSES if known == file_class), None)
    if found is None:
        raise ManifestError(f"{row.where}: class must be {', '.join(LABELLED_CLASSES)}; got {str(file_class)[:40]!r}")
    return found


def _labels(row: ManifestRow, path: str, file_class: FileClass) -> Labels:
    try:
        return _checked_labels(row.cells, file_class)
    except _LabelError as error:
        return unlabelled(path, f"{error} ({row.where})")


class _LabelError(Exception):
    """The labels of one file are wrong; the text is the reason."""


def _checked_labels(cells: Mapping[str, object], file_class: FileClass) -> Labels:
    for column in _STEGO_ONLY:
        if file_class != "stego" and column in cells:
            raise _LabelError(f"has a {column}, but is not stego")
    if file_class != "negative" and "category" in cells:
        raise _LabelError("has a category, but is no negative")
    if file_class == "negative" and "source" in cells:
        raise _LabelError("is a negative with a source; negatives have a category")
    method = cells.get("method")
    known = TECHNIQUES.get(method.lower()) if isinstance(method, str) else None
    if file_class == "stego" and known is None:
        raise _LabelError("is a stego file without method" if method is None else f"unknown method: {_q(method)}")
    category = _name(cells, "category", LONGEST_COVER)
    if file_class == "negative" and category is None:
        raise _LabelError("is a negative without category")
    cover, bit_order = cells.get("cover"), cells.get("bit_order")
    if cover is not None and not is_cover(cover):
        raise _LabelError(f"cover must be a printable text of at most {LONGEST_COVER} characters")
    if bit_order is not None and bit_order not in BIT_ORDERS:
        raise _LabelError(f"bit_order must be {' or '.join(BIT_ORDERS)}; got {_q(bit_order)}")
    return Labels(
        method=known,
        category=category,
        bit_order=None if bit_order is None else str(bit_order),
        payload_bytes=_payload_bytes(cells.get("payload_bytes")),
        cover=cover,
        source=_name(cells, "source", LONGEST_SOURCE),
        reaches_crop=_boolean(cells.get("reaches_crop")),
    )


def _name(cells: Mapping[str, object], column: str, longest: int) -> str | None:
    """Return a name that becomes the value of a metric label and a cell of tables."""
    value = cells.get(column)
    if value is None:
        return None
    usable = is_source(value) if longest == LONGEST_SOURCE else is_cover(value)
    if not isinstance(value, str) or not usable or value.startswith(_FORMULA):
        raise _LabelError(f"{column} must be a printable text of at most {longest} characters that is not a formula")
    return value


def _payload_bytes(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
        value = int(value)
    if value is None or (type(value) is int and 0 <= value <= MAX_PAYLOAD_BYTES):
        return value
    raise _LabelError(f"payload_bytes must be an integer from 0; got {_q(value)}")


def _boolean(value: object) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    # Any case, because Python writes "True".
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise _LabelError(f"reaches_crop must be true or false; got {_q(value)}")


def _q(value: object) -> str:
    return repr(str(value)[:40])

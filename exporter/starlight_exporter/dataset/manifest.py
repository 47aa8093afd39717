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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from starlight_exporter.dataset.class_folders import class_named
from starlight_exporter.dataset.dataset import LABELLED_CLASSES, FileClass
from starlight_exporter.dataset.found_files import FoundFile, FoundFiles, FoundFilesBuilder
from starlight_exporter.dataset.ignored import LABEL_FILES, MANIFEST_NAMES, METADATA_NAMES
from starlight_exporter.dataset.labels import Labels, unlabelled
from starlight_exporter.dataset.listed_paths import ListedPaths
from starlight_exporter.dataset.manifest_rows import PLACE_COLUMNS, ManifestError, ManifestRow, manifest_rows
from starlight_exporter.dataset.metadata import as_manifest_row
from starlight_exporter.dataset.names import LONGEST_COVER, LONGEST_SOURCE, is_cover, is_source
from starlight_exporter.dataset.sidecar import BIT_ORDERS, MAX_PAYLOAD_BYTES
from starlight_exporter.dataset.sources.names import is_relative, is_shard
from starlight_exporter.dataset.sources.root import DatasetRoot
from starlight_exporter.detector.contract import TECHNIQUES
from starlight_exporter.errors import DatasetError
from starlight_exporter.file_access import read_content

MAX_MANIFEST_BYTES: Final = 256 * 1024 * 1024
_T = TypeVar("_T")
_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")
_FORMULA: Final = ("=", "+", "-", "@")
"""A spreadsheet evaluates a text that begins with one of these."""
_ROOT: Final = Path()
_CLASSES: Final[Mapping[str, FileClass]] = {name: name for name in LABELLED_CLASSES}
_STEGO_ONLY: Final = ("method", "payload_bytes", "bit_order", "reaches_crop")


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files that a manifest lists, packed, and their labels in the same order. `name` is its file name.

    Where the manifest states the places of files in shards, the listed files have them.
    """

    name: str
    listed: FoundFiles
    row_labels: Sequence[Labels]

    @property
    def classes(self) -> Mapping[str, FileClass]:
        """The classes of the listed files by path."""
        return _ByPath(self.listed, lambda number: self.listed[number].file_class)

    @property
    def labels(self) -> Mapping[str, Labels]:
        """The labels of the listed files by path."""
        return _ByPath(self.listed, self.row_labels.__getitem__)

    @property
    def has_places(self) -> bool:
        """Whether the manifest states where files are in shards."""
        return self.listed.has_shards

    def labels_of(self, found: FoundFile) -> Labels:
        """Return the labels of a file of the dataset; a file that is not listed is `unlabelled`."""
        number: int | None = found.number
        # The same position, if the listing is that of the manifest.
        if found.number >= len(self.listed) or self.listed.path(found.number) != found.path:
            number = self.listed.number_of(found.path)
        return unlabelled(found.path, f"is not listed in {self.name}") if number is None else self.row_labels[number]


class _ByPath(Mapping[str, _T]):
    """Values of listed files by path."""

    def __init__(self, listed: FoundFiles, value: Callable[[int], _T]) -> None:
        self._listed = listed
        self._value = value

    def __getitem__(self, path: str) -> _T:
        number = self._listed.number_of(path)
        if number is None:
            raise KeyError(path)
        return self._value(number)

    def __iter__(self) -> Iterator[str]:
        return (file.path for file in self._listed)

    def __len__(self) -> int:
        return len(self._listed)


def read_manifest(root: Path) -> Manifest | None:
    """Return the label manifest in the root of a dataset, otherwise its metadata, None without either.

    Raise DatasetError; see the module.
    """
    name = manifest_name(root, [name for name in LABEL_FILES if os.path.lexists(root / name)], _class_folders(root))
    if name is None:
        return None
    try:
        data = read_content(root / name, max_bytes=MAX_MANIFEST_BYTES, root=root).data
    except OSError as error:
        raise DatasetError(f"{root / name}: cannot be read: {error.strerror or error}") from error
    return parsed_manifest(root, name, data)


def manifest_name(root: DatasetRoot, names: Collection[str], folders: Iterator[str]) -> str | None:
    """Return which of the names in a root is the label manifest, otherwise the metadata; None without either.

    `folders` are the names of the class folders. Raise DatasetError if that is ambiguous.
    """
    manifest = _only(root, names, MANIFEST_NAMES, "label manifest")
    name = manifest or _only(root, names, METADATA_NAMES, "metadata file")
    folder = next(folders, None) if name is not None and manifest is None else None
    if folder is not None:
        raise DatasetError(
            f"{root}: ambiguous: has {name} and the class folder {folder}; rename one of them, or add a label"
            " manifest, which takes precedence"
        )
    return name


def parsed_manifest(root: DatasetRoot, name: str, data: bytes) -> Manifest:
    """Return the content of a label manifest or metadata. Raise DatasetError; see the module."""
    try:
        rows = manifest_rows(name, data)
        return manifest_of(name, rows if name in MANIFEST_NAMES else map(as_manifest_row, rows))
    except ManifestError as error:
        raise DatasetError(f"{root}/{name}: {error}") from error


def manifest_of(name: str, rows: Iterable[ManifestRow]) -> Manifest:
    """Return the listed files and labels of rows. Raise ManifestError if one cannot be used."""
    listed = FoundFilesBuilder(_ROOT)
    labels: list[Labels] = []
    known: dict[Labels, Labels] = {}
    paths = ListedPaths()
    for row in rows:
        path = _path(row)
        paths.add(path, row.where)
        file_class = _class(row)
        read = _labels(row, path, file_class)
        # Equal labels are one object.
        labels.append(known.setdefault(read, read))
        shard, offset, size_bytes = _place(row)
        listed.append(FoundFile(_ROOT, path, file_class, size_bytes=size_bytes, shard=shard, offset=offset))
    paths.check()
    return Manifest(name, listed.finish(ignored=0), labels)


def _only(root: DatasetRoot, names: Collection[str], known: Sequence[str], title: str) -> str | None:
    present = [name for name in known if name in names]
    if len(present) > 1:
        raise DatasetError(f"{root}: has more than one {title}: {', '.join(present)}")
    return present[0] if present else None


def _class_folders(root: Path) -> Iterator[str]:
    """Yield the names of the class folders in a local root, sorted. Raise DatasetError."""
    try:
        yield from sorted(entry.name for entry in root.iterdir() if class_named(entry.name) and entry.is_dir())
    except OSError as error:
        raise DatasetError(f"{root}: cannot be listed: {error.strerror}") from error


def _place(row: ManifestRow) -> tuple[str | None, int, int | None]:
    """Return the shard, offset and size that a row states. Raise ManifestError if they are incomplete or invalid."""
    shard, start, length = map(row.cells.get, PLACE_COLUMNS)
    if shard is None and start is None and length is None:
        return None, 0, None
    offset, size_bytes = _natural(start), _natural(length)
    if not isinstance(shard, str) or not is_shard(shard) or not is_relative(shard):
        raise ManifestError(f"{row.where}: shard must be the name of a tar or Parquet file; got {_q(shard)}")
    if offset is None or size_bytes is None:
        raise ManifestError(f"{row.where}: offset and size_bytes must be integers from 0")
    return shard, offset, size_bytes


def _natural(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
        value = int(value)
    return value if type(value) is int and 0 <= value <= MAX_PAYLOAD_BYTES else None


def _path(row: ManifestRow) -> str:
    path = row.cells.get("path")
    if not isinstance(path, str):
        raise ManifestError(f"{row.where}: has no path")
    if _SURROGATE.search(path):
        # Python cannot encode it; JSON can contain it as \ud800.
        raise ManifestError(f"{row.where}: path {path[:200]!r} is not valid Unicode")
    if not is_relative(path):
        raise ManifestError(
            f"{row.where}: path {path[:200]!r} must be relative to the dataset, without empty parts, . and .."
        )
    return path


def _class(row: ManifestRow) -> FileClass:
    file_class = row.cells.get("class")
    found = _CLASSES.get(file_class) if isinstance(file_class, str) else None
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
    number = _natural(value)
    if value is None or number is not None:
        return number
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

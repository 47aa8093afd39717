"""Types of a scanned and labelled dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from starlight_exporter.activity import Phase
from starlight_exporter.dataset.sources.root import DatasetRoot
from starlight_exporter.detector.contract import ImageFormat, Method
from starlight_exporter.errors import NotMeasuredReason

LabelledClass = Literal["clean", "stego", "negative"]
LABELLED_CLASSES: Final[tuple[LabelledClass, ...]] = get_args(LabelledClass)
FileClass = Literal[LabelledClass, "unlabelled"]
FILE_CLASSES: Final[tuple[FileClass, ...]] = get_args(FileClass)
"""The class `unlabelled` is that of every image of an unlabelled dataset, and of no other image."""


@dataclass(frozen=True, slots=True)
class FileProblem:
    """Why a file cannot be measured: a bounded reason, and one line that names the file."""

    reason: NotMeasuredReason
    text: str


@dataclass(frozen=True, slots=True)
class FileFault:
    """A file that exceeded its time limit or ended a worker process, and in which phase.

    It is not measured; after the phase `thumbnail` it is, and has no thumbnail.
    """

    path: str
    reason: NotMeasuredReason
    detail: str
    phase: Phase


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """One image file of a dataset. `path` is relative to the dataset's root, with forward slashes.

    `method` is set for labelled stego files, `category` for negatives. `image_format` is the decoder's, None if the
    header cannot be read; `sha256` is empty if the content cannot be read. A file with a `problem` is not measured.
    `bit_order`, `payload_bytes`, `cover`, `source` and `reaches_crop` come from the sidecar of a stego file or from the
    label manifest; `cover` is the path of the clean file that it was made from, or a name that files of one cover
    share. `source` is where the cover comes from; `reaches_crop` is whether the payload reaches the centre crop.
    """

    path: str
    file_class: FileClass
    method: Method | None
    category: str | None
    image_format: ImageFormat | None
    size_bytes: int
    sha256: str
    problem: FileProblem | None
    bit_order: str | None = None
    payload_bytes: int | None = None
    cover: str | None = None
    source: str | None = None
    reaches_crop: bool | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """All files of a dataset, sorted by path. `fingerprint` (SHA-256) covers every path, label and content."""

    name: str
    root: DatasetRoot
    files: tuple[LabelledFile, ...]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class ScannedDataset:
    """The fingerprint of a dataset, and the digest of the listing that was scanned."""

    fingerprint: str
    listing: str


@dataclass(frozen=True, slots=True)
class SliceCount:
    """Number of images of a class, method and format. `method` is None outside stego, `image_format` if unknown."""

    file_class: FileClass
    method: Method | None
    image_format: ImageFormat | None
    images: int


@dataclass(frozen=True, slots=True)
class DatasetQuality:
    """Balance and duplicates of a dataset.

    `method_shares` has every contract method (empty without labelled stego files). `entropy_bits` is the Shannon
    entropy of these shares (None without stego files), at most `entropy_max_bits` = log2(number of contract methods).
    `duplicate_groups` are paths with equal content, `clean_equals_stego` the groups with files of both classes; at most
    the first MAX_GROUPS groups and MAX_GROUP_PATHS paths of `quality`.
    `duplicate_images` is the number of files beyond the first of each group. `ignored_files` is the number of files and
    folders that are ignored by their names, None in results of versions that did not count them.
    """

    counts: tuple[SliceCount, ...]
    method_shares: dict[Method, float]
    entropy_bits: float | None
    entropy_max_bits: float
    duplicate_images: int
    duplicate_groups: tuple[tuple[str, ...], ...]
    clean_equals_stego: tuple[tuple[str, ...], ...]
    ignored_files: int | None = None

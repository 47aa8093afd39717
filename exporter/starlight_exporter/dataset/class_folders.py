"""Class folders in the root of a dataset.

    clean/ or cover/                              covers
    stego/                                        stego files of all methods
    alpha/, palette/, lsb/, exif/, eoi/           stego files of this method, in place of stego/
    negatives/ or negative/                       hard negatives

Case is ignored. If the names are `clean`, `stego` and `negatives` in lower case, other folders are ignored, unless
their names resemble those of classes. Otherwise every folder has to be a class: a folder that is silently left out
would change the results.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from starlight_exporter.dataset.dataset import FileClass
from starlight_exporter.dataset.ignored import is_ignored_folder
from starlight_exporter.dataset.sources.root import DatasetRoot
from starlight_exporter.detector.contract import METHODS, Method
from starlight_exporter.errors import DatasetError

FOLDERS: Final[dict[str, FileClass]] = {"clean": "clean", "stego": "stego", "negatives": "negative"}


@dataclass(frozen=True, slots=True)
class ClassLabel:
    """Class that a folder or a label names, with the method if it names one."""

    file_class: FileClass
    method: Method | None = None


CLASS_NAMES: Final[Mapping[str, ClassLabel]] = {
    "clean": ClassLabel("clean"),
    "cover": ClassLabel("clean"),
    "stego": ClassLabel("stego"),
    "negative": ClassLabel("negative"),
    "negatives": ClassLabel("negative"),
    **{method: ClassLabel("stego", method) for method in METHODS},
}
"""Names of classes in lower case."""

_SIMILAR: Final = 0.8
"""Similarity of `difflib` from which a name is a misspelt class: `cleen` and `negatvies`, but not `clean_old`."""

_SPLITS: Final = ("train", "training", "validation", "valid", "val", "dev", "test", "testing", "eval")
"""Names of the parts of a dataset for training and evaluation."""


def class_named(name: object) -> ClassLabel | None:
    """Return the class with this name, in any case; None if there is none."""
    return CLASS_NAMES.get(name.lower()) if isinstance(name, str) else None


def class_folders(root: DatasetRoot, names: Collection[str], folders: Collection[str]) -> dict[str, FileClass]:
    """Return the class of every class folder. `names` are all names in the root, `folders` those of folders.

    Raise DatasetError if there is none, or the classes are ambiguous.
    """
    visible = sorted(name for name in folders if not is_ignored_folder(name))
    named = {name: label for name in visible if (label := class_named(name)) is not None}
    standard = {name: file_class for name, file_class in FOLDERS.items() if name in names}
    if named.keys() <= standard.keys():
        if standard:
            _require_no_misspelt_class(root, visible, standard)
            return standard
        raise DatasetError(f"{root}: {_without_classes(visible)}")
    by_class: defaultdict[ClassLabel, list[str]] = defaultdict(list)
    for name, label in named.items():
        by_class[label].append(name)
    for same in by_class.values():
        if len(same) > 1:
            raise DatasetError(f"{root}: ambiguous: {' and '.join(same)} are folders of the same class")
    general = by_class.get(ClassLabel("stego"))
    methods = [name for name, label in named.items() if label.method is not None]
    if general is not None and methods:
        raise DatasetError(
            f"{root}: ambiguous: {general[0]} and {', '.join(methods)} are stego folders; move {methods[0]} into"
            f" {general[0]}"
        )
    unknown = [name for name in visible if name not in named]
    if unknown:
        raise DatasetError(
            f"{root}: the folder {unknown[0]} is no class; expected {', '.join(CLASS_NAMES)}, or a label manifest"
        )
    return {name: label.file_class for name, label in named.items()}


def _require_no_misspelt_class(root: DatasetRoot, folders: Collection[str], classes: Collection[str]) -> None:
    for name in folders:
        similar = get_close_matches(name.lower(), CLASS_NAMES, n=1, cutoff=_SIMILAR)
        if name not in classes and similar:
            raise DatasetError(
                f"{root}: the folder {name} is no class, but resembles {similar[0]}; rename it, or move it out of the"
                " dataset"
            )


def _without_classes(folders: Collection[str]) -> str:
    splits = [name for name in folders if name.lower() in _SPLITS]
    if splits:
        return f"has no class folder, but {', '.join(splits)}; use one of these as the dataset"
    return "has none of the folders clean (or cover), stego (or a method) and negatives, and no label manifest"

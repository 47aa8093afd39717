"""Labels of a file without a label manifest: from its sidecar, from its folder and from its name.

Folders are `clean/{source}/**`, `stego/{method}/**` or `{method}/**`, and `negatives/{category}/**` (see
`class_folders`); names of stego files are `{payload}_{method}_{index}.{ext}`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from starlight_exporter.dataset.class_folders import class_named
from starlight_exporter.dataset.dataset import FileProblem
from starlight_exporter.dataset.found_files import FoundFile
from starlight_exporter.dataset.names import is_source, one_line, printable_path
from starlight_exporter.dataset.sidecar import Sidecar, SidecarError, read_sidecar
from starlight_exporter.detector.contract import TECHNIQUES, Method


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of a file, or the problem with them."""

    method: Method | None = None
    category: str | None = None
    bit_order: str | None = None
    payload_bytes: int | None = None
    cover: str | None = None
    source: str | None = None
    reaches_crop: bool | None = None
    problem: FileProblem | None = None


SidecarReader = Callable[[FoundFile], Sidecar]
"""Returns what the sidecar of a file states, nothing for a file without one. Raises SidecarError."""


def folder_sidecar(found: FoundFile) -> Sidecar:
    """Return what the sidecar of a file in a local folder states. Raises SidecarError."""
    if found.sidecar is None or not isinstance(found.root, Path):
        return Sidecar()
    return read_sidecar(found.root / found.sidecar, root=found.root)


def read_labels(found: FoundFile, sidecar_of: SidecarReader = folder_sidecar) -> Labels:
    """Return the labels of a file. Missing labels and those that contradict each other are a problem."""
    folders = found.path.split("/")[1:-1]
    match found.file_class:
        case "clean":
            return Labels(source=folders[0] if folders and is_source(folders[0]) else None)
        case "unlabelled":
            return Labels()
        case "negative":
            if folders:
                return Labels(category=printable_path(folders[0]))
            return unlabelled(found.path, f"is not in a category folder below {found.path.partition('/')[0]}/")
        case "stego":
            return _stego_labels(found, folders, sidecar_of)


def _stego_labels(found: FoundFile, folders: list[str], sidecar_of: SidecarReader) -> Labels:
    try:
        sidecar = sidecar_of(found)
    except SidecarError as error:
        return unlabelled(found.sidecar or found.path, str(error))
    named = class_named(found.path.partition("/")[0])
    stated = {
        "sidecar": sidecar.method,
        "class folder": None if named is None else named.method,
        "folder": TECHNIQUES.get(folders[0].lower()) if folders else None,
        "name": _name_method(PurePosixPath(found.path)),
    }
    methods = {source: method for source, method in stated.items() if method is not None}
    if not methods:
        return unlabelled(found.path, "is a stego file without method in sidecar, folder or name")
    if len(set(methods.values())) > 1:
        text = ", ".join(f"{method} in the {source}" for source, method in methods.items())
        return unlabelled(found.path, f"has contradictory methods: {text}")
    return Labels(
        method=next(iter(methods.values())),
        bit_order=sidecar.bit_order,
        payload_bytes=sidecar.payload_bytes,
        cover=sidecar.cover,
        source=sidecar.source,
        reaches_crop=sidecar.reaches_crop,
    )


def _name_method(path: PurePosixPath) -> Method | None:
    parts = path.stem.split("_")
    if len(parts) < 3 or not parts[-1].isdecimal():
        return None
    return TECHNIQUES.get(parts[-2].lower())


def unlabelled(path: str, text: str) -> Labels:
    """Return the labels of a file whose labels cannot be used; `text` is the reason."""
    return Labels(problem=FileProblem("unlabelled", f"{one_line(path)}: {text}"))

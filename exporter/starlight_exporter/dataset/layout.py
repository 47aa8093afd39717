"""Find and label the files of a dataset folder.

    <root>/clean/**                    covers
    <root>/stego/**                    labelled by sidecar `{file}.json`, else by folder `stego/{method}/**`,
                                       else by name `{payload}_{method}_{index}.{ext}`
    <root>/negatives/{category}/**     hard negatives

All files below these three folders are images, except hidden files and folders (leading dot), notes and tables
(IGNORED_SUFFIXES, including sidecars) and the names in IGNORED_STEMS. Files that cannot be read as images are listed
with their problem, so that they are counted as not measured. Symbolic links are followed; a folder linked inside
itself is entered once.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from PIL import Image

from starlight_exporter.dataset.dataset import Dataset, FileClass, FileProblem, LabelledFile
from starlight_exporter.dataset.sidecar import SidecarError, read_sidecar
from starlight_exporter.detector.contract import TECHNIQUES, ImageFormat, Method, image_format
from starlight_exporter.detector.decoding import DECODER_ERRORS, OPENED_FORMATS
from starlight_exporter.errors import DatasetError, NotMeasuredReason

FOLDERS: dict[str, FileClass] = {"clean": "clean", "stego": "stego", "negatives": "negative"}

IGNORED_SUFFIXES = frozenset(
    (".json", ".jsonl", ".md", ".rst", ".txt", ".csv", ".tsv", ".yml", ".yaml", ".toml", ".log", ".html", ".sha256")
)
IGNORED_STEMS = frozenset(("readme", "license", "licence", "notice", "copying", "changelog", "thumbs", "desktop"))

_CHUNK = 64


def scan(name: str, root: Path) -> Dataset:
    """Return all files of the dataset in `root`, labelled and hashed. Headers are read, pixels are not decoded.

    Raises DatasetError if `root` is missing, cannot be listed, or contains no image in its class folders.
    """
    found = list(_find(root))
    if not found:
        raise DatasetError(f"{root}: no images in clean/, stego/ or negatives/")
    prepare_decoder()
    # One task for many files, because a pending task takes more memory than the result of a file.
    chunks = [found[at : at + _CHUNK] for at in range(0, len(found), _CHUNK)]
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        labelled = [file for part in pool.map(_label_all, chunks) for file in part]
    files = _with_covers(sorted(labelled, key=lambda file: file.path))
    return Dataset(name=name, root=root, files=tuple(files), fingerprint=_fingerprint(files))


def prepare_decoder() -> None:
    """Load all decoders, which is not thread-safe, and suppress Pillow's warnings about damaged metadata."""
    Image.init()
    warnings.filterwarnings("ignore", module=r"PIL\.")


def open_header(file: BinaryIO | Path) -> Image.Image:
    """Open an image and read only its header. Raises one of DECODER_ERRORS."""
    return Image.open(file, formats=OPENED_FORMATS)


def is_image_name(name: str) -> bool:
    """Return whether a file with this name is treated as an image (see the module docstring)."""
    path = PurePosixPath(name)
    if name.startswith(".") or path.suffix.lower() in IGNORED_SUFFIXES:
        return False
    return path.name.split(".")[0].lower() not in IGNORED_STEMS


@dataclass(frozen=True, slots=True)
class _Found:
    """A file that is treated as an image, or an entry with a problem that is known before it is opened."""

    root: Path
    path: str
    file_class: FileClass
    problem: str | None = None


def _find(root: Path) -> Iterator[_Found]:
    try:
        with os.scandir(root) as entries:
            present = {entry.name for entry in entries}
    except FileNotFoundError as error:
        raise DatasetError(f"{root}: no such dataset folder") from error
    except NotADirectoryError as error:
        raise DatasetError(f"{root}: is a file, not a dataset folder") from error
    except OSError as error:
        raise DatasetError(f"{root}: cannot be listed: {error.strerror}") from error
    if not present & FOLDERS.keys():
        raise DatasetError(f"{root}: has none of the folders clean, stego and negatives")
    for folder, file_class in FOLDERS.items():
        if folder in present:
            yield from _walk(root, folder, file_class, ())


def _walk(root: Path, folder: str, file_class: FileClass, above: tuple[tuple[int, int], ...]) -> Iterator[_Found]:
    try:
        status = (root / folder).stat()
        here = (status.st_dev, status.st_ino)
        if here in above:
            return
        with os.scandir(root / folder) as entries:
            names = sorted((entry.name, _is_folder(entry)) for entry in entries)
    except OSError as error:
        yield _Found(root, folder, file_class, f"cannot be listed: {error.strerror}")
        return
    for name, is_folder in names:
        path = f"{folder}/{name}"
        if is_folder and not name.startswith("."):
            yield from _walk(root, path, file_class, (*above, here))
        elif not is_folder and is_image_name(name):
            yield _Found(root, path, file_class)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # Such as a link to itself; reported when the file is read.
        return False


def _label_all(found: Sequence[_Found]) -> list[LabelledFile]:
    return [_label(entry) for entry in found]


def _label(found: _Found) -> LabelledFile:
    """Return a file with label, format and hash. Failures become the problem of the file."""
    shown = printable_path(found.path)
    labels = _labels(found, shown)
    size, digest, header, problem = 0, "", None, found.problem
    if problem is None and shown != found.path:
        problem = "its name is not UTF-8"
    if problem is None:
        try:
            size, digest, header, problem = _read(found.root / found.path)
        except OSError as error:
            problem = f"cannot be read: {error.strerror or error}"
    return LabelledFile(
        path=shown,
        file_class=found.file_class,
        method=labels.method,
        category=labels.category,
        image_format=header,
        size_bytes=size,
        sha256=digest,
        problem=_problem(shown, "unreadable", problem) if problem is not None else labels.problem,
        bit_order=labels.bit_order,
        payload_bytes=labels.payload_bytes,
        cover=labels.cover,
    )


def printable_path(path: str) -> str:
    """Return `path` with escapes for bytes that are not UTF-8, so that it can be printed and stored."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _problem(path: str, reason: NotMeasuredReason, text: str) -> FileProblem:
    return FileProblem(reason, f"{path}: {text}")


def _read(path: Path) -> tuple[int, str, ImageFormat | None, str | None]:
    """Return size in bytes, SHA-256, format (from the header) and problem of a file."""
    # Opening a pipe would block.
    if not stat.S_ISREG(path.stat().st_mode):
        return 0, "", None, "is not a regular file"
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
        if size == 0:
            return size, digest, None, "is empty"
        header = _header_format(file)
    return size, digest, header, None if header else "is not an image in a known format"


def _header_format(file: BinaryIO) -> ImageFormat | None:
    file.seek(0)
    try:
        with open_header(file) as image:
            return image_format(image.format)
    except DECODER_ERRORS:
        return None


@dataclass(frozen=True, slots=True)
class _Labels:
    """Labels of a file from folder, name and sidecar, or the problem with them."""

    method: Method | None = None
    category: str | None = None
    bit_order: str | None = None
    payload_bytes: int | None = None
    cover: str | None = None
    problem: FileProblem | None = None


def _labels(found: _Found, shown: str) -> _Labels:
    folders = found.path.split("/")[1:-1]
    match found.file_class:
        case "clean":
            return _Labels()
        case "negative":
            if folders:
                return _Labels(category=printable_path(folders[0]))
            return _Labels(problem=_problem(shown, "unlabelled", "is not in a category folder below negatives/"))
        case "stego":
            try:
                sidecar = read_sidecar(found.root / f"{found.path}.json")
            except SidecarError as error:
                return _Labels(problem=_problem(f"{shown}.json", "unlabelled", str(error)))
            method = sidecar.method or _folder_method(folders) or _name_method(PurePosixPath(found.path))
            text = "is a stego file without method in sidecar, folder or name"
            return _Labels(
                method=method,
                bit_order=sidecar.bit_order,
                payload_bytes=sidecar.payload_bytes,
                cover=sidecar.cover,
                problem=None if method is not None else _problem(shown, "unlabelled", text),
            )


def _folder_method(folders: list[str]) -> Method | None:
    return TECHNIQUES.get(folders[0].lower()) if folders else None


def _name_method(path: PurePosixPath) -> Method | None:
    parts = path.stem.split("_")
    if len(parts) < 3 or not parts[-1].isdecimal():
        return None
    return TECHNIQUES.get(parts[-2].lower())


def _with_covers(files: list[LabelledFile]) -> list[LabelledFile]:
    """Replace a stated cover by the path of that clean file, if it is in the dataset: both have the same cover."""
    clean = {file.path for file in files if file.file_class == "clean"}

    def resolved(cover: str) -> str:
        return next((path for path in (f"clean/{cover}", cover) if path in clean), cover)

    return [replace(file, cover=resolved(file.cover)) if file.cover is not None else file for file in files]


def _fingerprint(files: list[LabelledFile]) -> str:
    digest = hashlib.sha256()
    for file in files:
        row = (file.path, file.file_class, file.method, file.category, file.sha256)
        digest.update(json.dumps(row).encode() + b"\n")
    return digest.hexdigest()

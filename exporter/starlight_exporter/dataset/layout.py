"""Find, label and hash the files of a dataset folder.

    <root>/clean/**                    covers
    <root>/stego/**                    labelled by sidecar, folder `stego/{method}/**` or name (see `labels`)
    <root>/negatives/{category}/**     hard negatives, of at most MAX_CATEGORIES

All files below these three folders are images, except those whose names are ignored (see `ignored`). Other layouts are
other class folders (see `class_folders`), a label manifest (see `manifest`), and ImageFolder with metadata (see
`metadata`); with the latter two, all files below the root are images. Files that cannot be measured are listed with
their problem, so that they are counted as not measured. Nothing is decoded.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Final

from starlight_exporter.activity import NO_ACTIVITY, Activity
from starlight_exporter.dataset.dataset import Dataset, FileProblem, LabelledFile
from starlight_exporter.dataset.found_files import FoundFile
from starlight_exporter.dataset.labelled_files import LabelledFiles, find_labelled_files
from starlight_exporter.dataset.labels import Labels
from starlight_exporter.dataset.names import one_line, printable_path
from starlight_exporter.detector.contract import DEFAULT_MAX_FILE_BYTES, ImageFormat, image_format
from starlight_exporter.detector.format_signatures import SIGNATURE_BYTES, decoded_format
from starlight_exporter.errors import ImageError, NotMeasuredReason
from starlight_exporter.file_access import FileTooLargeError, hash_open_file, open_regular

MAX_CATEGORIES: Final = 100
"""Categories of negatives that are measured: each has metrics of its own, and a dataset may name one for every file."""
_CHUNK: Final = 64
_MAX_THREADS: Final = 64
"""Fewer than the slots of `Activity`; more threads do not read faster."""


def scan(
    name: str,
    root: Path,
    *,
    max_file_bytes: int = DEFAULT_MAX_FILE_BYTES,
    excluded: Mapping[str, FileProblem] = MappingProxyType({}),
    activity: Activity = NO_ACTIVITY,
) -> Dataset:
    """Return all files of the dataset in `root`, labelled and hashed; larger files are not read.

    The files of `excluded` are not opened; the texts of their problems do not name them.
    Raises DatasetError if `root` is missing, cannot be listed, has none of the layouts (or it is ambiguous which), or
    contains no image, and if the file with its labels cannot be used.
    """
    dataset = find_labelled_files(root)
    files = label_listed(dataset, dataset.found, max_file_bytes=max_file_bytes, excluded=excluded, activity=activity)
    return Dataset(
        name=name,
        root=root,
        files=tuple(files),
        fingerprint=fingerprint(files, _stated_facts(files)) if dataset.has_manifest else fingerprint(files),
        ignored_files=dataset.found.ignored,
    )


def label_listed(
    listing: LabelledFiles,
    found: Sequence[FoundFile],
    *,
    max_file_bytes: int,
    excluded: Mapping[str, FileProblem] = MappingProxyType({}),
    activity: Activity = NO_ACTIVITY,
) -> list[LabelledFile]:
    """Return files of a listing as `label_files` does, with at most MAX_CATEGORIES, and covers as paths."""
    labelled = label_files(
        found, listing.labels_of, max_file_bytes=max_file_bytes, excluded=excluded, activity=activity
    )
    return _with_covers(_with_few_categories(labelled), listing.clean_folder)


def label_files(
    found: Sequence[FoundFile],
    labels_of: Callable[[FoundFile], Labels],
    *,
    max_file_bytes: int,
    excluded: Mapping[str, FileProblem] = MappingProxyType({}),
    activity: Activity = NO_ACTIVITY,
) -> list[LabelledFile]:
    """Return the files with label, format and hash, sorted by path. Failures become the problem of the file."""
    # One task for many files, because a pending task takes more memory than the result of a file.
    chunks = [found[at : at + _CHUNK] for at in range(0, len(found), _CHUNK)]
    scanner = _Scanner(labels_of, max_file_bytes, excluded, activity)
    with ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, _MAX_THREADS)) as pool:
        labelled = [file for part in pool.map(scanner.scan_all, chunks) for file in part]
    return sorted(labelled, key=lambda file: file.path)


@dataclass(frozen=True, slots=True)
class _Scanner:
    """Labels and hashes files; thread-safe."""

    labels_of: Callable[[FoundFile], Labels]
    max_file_bytes: int
    excluded: Mapping[str, FileProblem]
    activity: Activity

    def scan_all(self, found: Sequence[FoundFile]) -> list[LabelledFile]:
        """Return the files with label, format and hash. Failures become the problem of the file."""
        return [self._scan_one(entry) for entry in found]

    def _scan_one(self, found: FoundFile) -> LabelledFile:
        shown = printable_path(found.path)
        labels = self.labels_of(found)
        content = self._content(found, shown)
        return LabelledFile(
            path=shown,
            file_class=found.file_class,
            method=labels.method,
            category=labels.category,
            image_format=content.image_format,
            size_bytes=content.size,
            sha256=content.sha256,
            problem=labels.problem if content.problem is None else _of_file(content.problem, found.path),
            bit_order=labels.bit_order,
            payload_bytes=labels.payload_bytes,
            cover=labels.cover,
            source=labels.source,
            reaches_crop=labels.reaches_crop,
        )

    def _content(self, found: FoundFile, shown: str) -> _Content:
        if found.problem is not None:
            return _failed("unreadable", found.problem)
        if shown != found.path:
            return _failed("unreadable", "its name is not UTF-8")
        if shown in self.excluded:
            return _Content(problem=self.excluded[shown])
        try:
            with (
                self.activity.during("scan", shown),
                open_regular(Path(str(found.root)) / found.path, root=Path(str(found.root))) as file,
            ):
                return _read(file, self.max_file_bytes)
        except OSError as error:
            return _failed("unreadable", f"cannot be read: {error.strerror or error}")


@dataclass(frozen=True, slots=True)
class _Content:
    """Content of a file; the text of `problem` does not name the file yet."""

    size: int = 0
    sha256: str = ""
    image_format: ImageFormat | None = None
    problem: FileProblem | None = None


def _failed(reason: NotMeasuredReason, text: str) -> _Content:
    return _Content(problem=FileProblem(reason, text))


def _of_file(problem: FileProblem, path: str) -> FileProblem:
    return FileProblem(problem.reason, f"{one_line(path)}: {problem.text}")


def _read(file: BinaryIO, max_bytes: int) -> _Content:
    """Return size, hash and format of an open file. A file that is too large is not hashed. Raises OSError."""
    size = os.fstat(file.fileno()).st_size
    header, problem = _format(file.read(SIGNATURE_BYTES))
    file.seek(0)
    try:
        digest = hash_open_file(file, max_bytes=max_bytes)
    except FileTooLargeError as error:
        return _Content(size, "", header, FileProblem("too_large", f"is {error.strerror}"))
    return _Content(size, digest, header, problem)


def _format(start: bytes) -> tuple[ImageFormat | None, FileProblem | None]:
    if not start:
        return None, FileProblem("unreadable", "is empty")
    try:
        return image_format(decoded_format(start)), None
    except ImageError as error:
        return None, FileProblem(error.reason, str(error))


def _with_few_categories(files: list[LabelledFile]) -> list[LabelledFile]:
    """Return the files with at most MAX_CATEGORIES, those with the most files; files of the others are unlabelled."""
    counts = Counter(file.category for file in files if file.category is not None)
    if len(counts) <= MAX_CATEGORIES:
        return files
    kept = {None, *sorted(counts, key=lambda name: (-counts[name], name))[:MAX_CATEGORIES]}
    text = f"its category is one of {len(counts)}, of which the {MAX_CATEGORIES} with the most files are measured"
    return [
        file
        if file.category in kept
        else replace(
            file, category=None, problem=file.problem or FileProblem("unlabelled", f"{one_line(file.path)}: {text}")
        )
        for file in files
    ]


def _with_covers(files: list[LabelledFile], clean_folder: str) -> list[LabelledFile]:
    """Replace a stated cover by the path of that clean file, if it is in the dataset: both have the same cover.

    A cover can be stated relative to the folder of the clean files. A clean file can have a cover too. A stego file
    without a source has that of its cover.
    """
    clean = {file.path: file for file in files if file.file_class == "clean"}

    def clean_file(cover: str) -> LabelledFile | None:
        return next((clean[path] for path in (f"{clean_folder}/{cover}", cover) if path in clean), None)

    # Each clean file is followed once: a manifest may state a chain of all its files.
    known: dict[str, str] = {}

    def resolved(cover: str) -> str:
        passed: dict[str, int] = {}
        while (file := clean_file(cover)) is not None:
            if file.cover is None or file.path in known:
                cover = known.get(file.path, file.path)
                break
            if file.path in passed:
                # Clean files that state each other are one cover.
                cover = min(list(passed)[passed[file.path] :])
                break
            passed[file.path] = len(passed)
            cover = file.cover
        known.update(dict.fromkeys(passed, cover))
        return cover

    def with_cover(file: LabelledFile) -> LabelledFile:
        if file.cover is None:
            return file
        own = clean_file(file.cover)
        inherited = own.source if own is not None and file.file_class == "stego" else None
        return replace(file, cover=resolved(file.cover), source=file.source or inherited)

    return [with_cover(file) for file in files]


def _stated_facts(files: list[LabelledFile]) -> Iterator[tuple[object, ...]]:
    """Yield what a label manifest states about each file besides its labels."""
    for file in files:
        yield file.cover, file.source, file.payload_bytes, file.bit_order, file.reaches_crop


def fingerprint(files: Sequence[LabelledFile], stated: Iterable[tuple[object, ...]] = ()) -> str:
    """Return the SHA-256 over every path, label and content, and what is `stated` besides, as hexadecimal digits."""
    digest = hashlib.sha256()
    for file in files:
        # A file that is too large to be hashed is identified by its size.
        content = file.sha256 or (f"{file.size_bytes} bytes" if file.size_bytes else "")
        row = (file.path, file.file_class, file.method, file.category, content)
        digest.update(json.dumps(row).encode() + b"\n")
    for facts in stated:
        digest.update(json.dumps(facts).encode() + b"\n")
    return digest.hexdigest()

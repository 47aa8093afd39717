"""Read the files of a shard once: labels, content, hash and format."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Final

from starlight_exporter.activity import NO_ACTIVITY, Activity, Phase
from starlight_exporter.dataset.categories import CategoryLimit
from starlight_exporter.dataset.content_index import ContentIndex, KnownContent
from starlight_exporter.dataset.dataset import FileFault, FileProblem, LabelledFile
from starlight_exporter.dataset.found_files import FoundFile
from starlight_exporter.dataset.labels import Labels
from starlight_exporter.dataset.names import one_line, printable_path
from starlight_exporter.dataset.sources.source import Source
from starlight_exporter.detector.contract import ImageFormat, image_format
from starlight_exporter.detector.format_signatures import SIGNATURE_BYTES, decoded_format
from starlight_exporter.errors import ImageError, NotMeasuredReason, TooLargeError

LARGE_FILE_BYTES: Final = 8 * 1024 * 1024
"""Larger files are read one at a time, because they are in memory before their header is known."""


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A labelled file with its content, None if it has a problem or was not read because its content is known.

    `found` is the file in the listing. `seconds` is the time for reading and hashing, without waiting for other files
    or a network.
    """

    found: FoundFile
    file: LabelledFile
    data: bytes | None
    seconds: float


@dataclass(frozen=True, slots=True)
class _Content:
    """Content of a file; the text of `problem` does not name the file yet."""

    size: int = 0
    sha256: str = ""
    image_format: ImageFormat | None = None
    problem: FileProblem | None = None
    data: bytes | None = None


class ShardReader:
    """Reads the shards of one dataset. Thread-safe. Failures become the problem of the file.

    Files that ended or blocked a process while they were read are not opened. With an `index`, neither are files whose
    content is known by their identity and `is_needed` returns False for its SHA-256.
    """

    def __init__(
        self,
        source: Source,
        *,
        max_file_bytes: int,
        categories: CategoryLimit | None = None,
        faults: Sequence[FileFault] = (),
        index: ContentIndex | None = None,
        is_needed: Callable[[str], bool] = lambda _sha256: False,
        activity: Activity = NO_ACTIVITY,
    ) -> None:
        self._index = index
        self._is_needed = is_needed
        self._source = source
        self._phase: Phase = "fetch" if source.is_remote else "scan"
        self._max_bytes = max_file_bytes
        self._categories = categories
        self._faults = tuple(faults)
        self._activity = activity
        self._large = threading.Lock()

    def files(self, shard: Sequence[FoundFile], faults: Sequence[FileFault] = ()) -> Iterator[ReadFile]:
        """Yield the files of a shard, in order. A large file blocks others until the next one is requested."""
        excluded = {fault.path: fault for fault in (*self._faults, *faults) if fault.phase in ("scan", "fetch")}
        known = [self._known(found, excluded) for found in shard]
        wanted = [found for found, content in zip(shard, known, strict=True) if content is None]
        contents = self._source.read_shard(wanted, max_bytes=min(LARGE_FILE_BYTES, self._max_bytes))
        for found, content in zip(shard, known, strict=True):
            labels = self._labels(found)
            if content is not None:
                yield ReadFile(found, _labelled(found, labels, content), None, 0.0)
                continue
            start = perf_counter()
            with self._activity.during(self._phase, found.path):
                _, data = next(contents)
            if isinstance(data, TooLargeError) and data.size_bytes <= self._max_bytes:
                with self._large:
                    start = perf_counter()
                    data = self._read_whole(found)
                    yield self._read(found, labels, data, self._started(start))
            else:
                yield self._read(found, labels, data, self._started(start))

    def content(self, read: ReadFile) -> bytes:
        """Return the content of a file that was not read because it is known.

        Raise ImageError if it cannot be read, or is not the known content.
        """
        data = self._read_whole(read.found)
        if isinstance(data, ImageError):
            raise data
        if hashlib.sha256(data).hexdigest() != read.file.sha256:
            raise ImageError("changed since the dataset was listed", reason="unreadable")
        return data

    def _known(self, found: FoundFile, excluded: dict[str, FileFault]) -> _Content | None:
        """Return what is known about a file that is not opened: why, or its content; None for other files."""
        problem = _known_problem(found, excluded)
        if problem is not None:
            return _Content(problem=problem)
        key = found.content_key
        if self._index is None or key is None:
            return None
        known = self._index.get(key)
        if known is None or known.size_bytes > self._max_bytes or self._is_needed(known.sha256):
            return None
        return _Content(known.size_bytes, known.sha256, known.image_format)

    def _read(self, found: FoundFile, labels: Labels, data: bytes | ImageError, start: float) -> ReadFile:
        content = _content(data)
        file = _labelled(found, labels, content)
        key = found.content_key
        if self._index is not None and key is not None and content.problem is None and content.image_format is not None:
            self._index.add(key, KnownContent(content.sha256, content.size, content.image_format))
        return ReadFile(found, file, content.data if file.problem is None else None, perf_counter() - start)

    def _started(self, start: float) -> float:
        """Return from when on the time of a file counts, which is read since `start`."""
        return perf_counter() if self._source.is_remote else start

    def _read_whole(self, found: FoundFile) -> bytes | ImageError:
        try:
            with self._activity.during(self._phase, found.path):
                return self._source.read(found, max_bytes=self._max_bytes)
        except ImageError as error:
            return error

    def _labels(self, found: FoundFile) -> Labels:
        labels = self._source.labels(found) if found.labels is None else found.labels
        return labels if self._categories is None else self._categories.applied(labels, found.path)


def _known_problem(found: FoundFile, excluded: dict[str, FileFault]) -> FileProblem | None:
    """Return why a file is not opened."""
    shown = printable_path(found.path)
    if found.problem is not None:
        return FileProblem("unreadable", found.problem)
    if shown != found.path:
        return FileProblem("unreadable", "its name is not UTF-8")
    fault = excluded.get(shown)
    return None if fault is None else FileProblem(fault.reason, fault.detail.removeprefix(f"{fault.path}: "))


def _content(data: bytes | ImageError) -> _Content:
    match data:
        case TooLargeError():
            header, _ = _format(data.start)
            return _Content(data.size_bytes, "", header, FileProblem("too_large", str(data)))
        case ImageError():
            return _failed(data.reason, str(data))
        case _:
            header, problem = _format(data[:SIGNATURE_BYTES])
            return _Content(len(data), hashlib.sha256(data).hexdigest(), header, problem, data)


def _failed(reason: NotMeasuredReason, text: str) -> _Content:
    return _Content(problem=FileProblem(reason, text))


def _format(start: bytes) -> tuple[ImageFormat | None, FileProblem | None]:
    if not start:
        return None, FileProblem("unreadable", "is empty")
    try:
        return image_format(decoded_format(start)), None
    except ImageError as error:
        return None, FileProblem(error.reason, str(error))


def _labelled(found: FoundFile, labels: Labels, content: _Content) -> LabelledFile:
    problem = labels.problem
    if content.problem is not None:
        problem = FileProblem(content.problem.reason, f"{one_line(found.path)}: {content.problem.text}")
    return LabelledFile(
        path=printable_path(found.path),
        file_class=found.file_class,
        method=labels.method,
        category=labels.category,
        image_format=content.image_format,
        size_bytes=content.size,
        sha256=content.sha256,
        problem=problem,
        bit_order=labels.bit_order,
        payload_bytes=labels.payload_bytes,
        cover=labels.cover,
        source=labels.source,
        reaches_crop=labels.reaches_crop,
    )

"""Source: lists the files of a dataset and reads their content, wherever it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self

from starlight_exporter.dataset.found_files import FoundFile, FoundFiles
from starlight_exporter.dataset.labelled_files import LabelledFiles
from starlight_exporter.dataset.labels import Labels
from starlight_exporter.dataset.sources.base import Read


class Source(Protocol):
    """The files of one dataset. Thread-safe. The order of a listing is that in which files are read fastest.

    A FoundFile is sufficient to read its file, also in another process that has opened the same root.
    All methods raise DatasetError if the dataset cannot be reached at all, such as without credentials.
    """

    @property
    def description(self) -> str:
        """The root, for messages."""

    @property
    def is_remote(self) -> bool:
        """Whether files are read over a network."""

    def labelled_files(self) -> LabelledFiles:
        """List the files of a labelled dataset; only files with labels are read.

        Raise DatasetError if it has none of the layouts, or it is ambiguous which, or there is no file.
        """

    def unlabelled_files(self) -> FoundFiles:
        """List all files as unlabelled. Raise DatasetError."""

    def find(self, path: str) -> FoundFile | None:
        """Return the file with this path, None if there is none."""

    def labels(self, found: FoundFile) -> Labels:
        """Return the labels of a file of a dataset without manifest; only its sidecar is read."""

    def modified_ns(self, found: FoundFile) -> int | None:
        """Return when a file was last changed, in nanoseconds since 1970; None if that is unknown."""

    def read(self, found: FoundFile, *, max_bytes: int) -> bytes:
        """Return the content of a file. Raise ImageError `unreadable`, or TooLargeError for more than `max_bytes`."""

    def read_shard(self, files: Sequence[FoundFile], *, max_bytes: int) -> Iterator[Read]:
        """Yield the content of files, in order. Neighbours are read together, and ahead where that is remote."""

    def close(self) -> None:
        """Release connections and processes."""

    def __enter__(self) -> Self:
        """Return the source."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the source."""

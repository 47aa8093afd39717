"""Common part of all sources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from starlight_exporter.dataset.found_files import FoundFile
from starlight_exporter.dataset.sources.root import DatasetRoot, RemoteRoot
from starlight_exporter.errors import ImageError, TooLargeError
from starlight_exporter.formatting import size

Read = tuple[FoundFile, bytes | ImageError]
"""A file with its content, or the reason why it has none; the text does not name the file."""


def too_large(max_bytes: int, *, size_bytes: int, start: bytes) -> TooLargeError:
    """Return the error of a file that is larger than `max_bytes`."""
    return TooLargeError(f"is larger than {size(max_bytes)}", size_bytes=size_bytes, start=start)


class BaseSource:
    """Root, description and context manager of a source."""

    def __init__(self, root: DatasetRoot) -> None:
        self.root = root

    @property
    def description(self) -> str:
        """See `Source`."""
        return str(self.root)

    @property
    def is_remote(self) -> bool:
        """See `Source`."""
        return isinstance(self.root, RemoteRoot)

    def read(self, found: FoundFile, *, max_bytes: int) -> bytes:
        """See `Source`."""
        raise NotImplementedError

    def each(self, files: Sequence[FoundFile], *, max_bytes: int) -> Iterator[Read]:
        """Yield the content of files, each read separately."""
        for found in files:
            try:
                yield found, self.read(found, max_bytes=max_bytes)
            except ImageError as error:
                yield found, error

    def close(self) -> None:
        """See `Source`."""

    def __enter__(self) -> Self:
        """See `Source`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See `Source`."""
        self.close()

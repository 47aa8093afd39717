"""Source of a local folder of image files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from starlight_exporter.dataset.found_files import FoundFile, FoundFiles
from starlight_exporter.dataset.labelled_files import LabelledFiles, find_labelled_files
from starlight_exporter.dataset.sources.base import BaseSource, Read
from starlight_exporter.dataset.walk import find_unlabelled_files
from starlight_exporter.errors import ImageError
from starlight_exporter.file_access import FileTooLargeError, read_content


def folder_modified_ns(found: FoundFile) -> int | None:
    """Return when a file of a local folder was last changed; None if that cannot be read.

    It is the modification time, or the time at which the entry was last changed if that is earlier.
    """
    try:
        status = os.stat(os.path.join(str(found.root), found.path))  # noqa: PTH116, PTH118  # faster than a Path for each
    except (OSError, ValueError):
        return None
    return min(status.st_mtime_ns, status.st_ctime_ns)


class FolderSource(BaseSource):
    """Files of a folder, listed in the order of their paths. Links are followed as in `walk`."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._folder = root

    def labelled_files(self) -> LabelledFiles:
        """See `Source`."""
        return find_labelled_files(self._folder)

    def unlabelled_files(self) -> FoundFiles:
        """See `Source`."""
        return find_unlabelled_files(self._folder)

    def find(self, path: str) -> FoundFile | None:
        """See `Source`; the file need not exist."""
        return FoundFile(self._folder, path, "unlabelled")

    def modified_ns(self, found: FoundFile) -> int | None:
        """See `Source`."""
        return folder_modified_ns(found)

    def read(self, found: FoundFile, *, max_bytes: int) -> bytes:
        """See `Source`."""
        try:
            return read_content(self._folder / found.path, max_bytes=max_bytes, root=self._folder).data
        except FileTooLargeError as error:
            raise ImageError(f"is {error.strerror}", reason="too_large") from error
        except OSError as error:
            raise ImageError(f"cannot be read: {error.strerror or error}", reason="unreadable") from error

    def read_shard(self, files: Sequence[FoundFile], *, max_bytes: int) -> Iterator[Read]:
        """See `Source`."""
        return self.each(files, max_bytes=max_bytes)

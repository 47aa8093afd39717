"""Source of a local folder of image files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from starlight_exporter.dataset.found_files import FoundFile, FoundFiles
from starlight_exporter.dataset.labelled_files import LabelledFiles, find_labelled_files
from starlight_exporter.dataset.labels import Labels, read_labels
from starlight_exporter.dataset.sources.base import BaseSource, Read, too_large
from starlight_exporter.dataset.walk import find_unlabelled_files
from starlight_exporter.detector.format_signatures import SIGNATURE_BYTES
from starlight_exporter.errors import ImageError
from starlight_exporter.file_access import open_regular

_GROWTH: Final = 64 * 1024


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
        self.folder = root

    def labelled_files(self) -> LabelledFiles:
        """See `Source`."""
        return find_labelled_files(self.folder)

    def unlabelled_files(self) -> FoundFiles:
        """See `Source`."""
        return find_unlabelled_files(self.folder)

    def find(self, path: str) -> FoundFile | None:
        """See `Source`; the file need not exist."""
        return FoundFile(self.folder, path, "unlabelled")

    def modified_ns(self, found: FoundFile) -> int | None:
        """See `Source`."""
        return folder_modified_ns(found)

    def read(self, found: FoundFile, *, max_bytes: int) -> bytes:
        """See `Source`."""
        try:
            with open_regular(self.folder / found.path, root=self.folder) as file:
                size = os.fstat(file.fileno()).st_size
                # One more byte than expected, because the file may grow, or have no size of its own, as in /proc.
                wanted = min(size, max_bytes) + 1
                data = file.read(wanted)
                # A shorter answer is the end: to ask for the rest of the limit would allocate it for every file.
                while len(data) == wanted <= max_bytes:
                    wanted = min(2 * wanted + _GROWTH, max_bytes + 1)
                    data += file.read(wanted - len(data))
        except OSError as error:
            raise ImageError(f"cannot be read: {error.strerror or error}", reason="unreadable") from error
        if len(data) > max_bytes:
            raise too_large(max_bytes, size_bytes=max(size, len(data)), start=data[:SIGNATURE_BYTES])
        return data

    def labels(self, found: FoundFile) -> Labels:
        """See `Source`."""
        return read_labels(found)

    def read_shard(self, files: Sequence[FoundFile], *, max_bytes: int) -> Iterator[Read]:
        """See `Source`."""
        return self.each(files, max_bytes=max_bytes)

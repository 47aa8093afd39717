"""Local copies of files for the latency pass: the time from file to verdict includes neither network nor shard."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from starlight_exporter.dataset.found_files import FoundFile
from starlight_exporter.dataset.sources.folder import FolderSource
from starlight_exporter.dataset.sources.opening import open_source
from starlight_exporter.dataset.sources.root import DatasetRoot
from starlight_exporter.errors import ImageError

MAX_BYTES: Final = 1024**3
"""Files beyond this total are not copied, and not timed."""


@contextmanager
def local_copies(root: DatasetRoot, files: Sequence[FoundFile], *, max_file_bytes: int) -> Iterator[Path]:
    """Yield a folder with these files at their paths: `root` if it is a folder of images, otherwise one with copies.

    A file that cannot be read or copied is missing. Raise DatasetError if the dataset cannot be reached.
    """
    with open_source(root) as source:
        if isinstance(source, FolderSource):
            yield source.folder
            return
        with tempfile.TemporaryDirectory(prefix="starlight-timed-") as name:
            left = MAX_BYTES
            # In the order of the listing, in which neighbours are read together.
            for found, data in source.read_shard(sorted(files, key=_number), max_bytes=max_file_bytes):
                if isinstance(data, ImageError) or len(data) > left:
                    continue
                left -= len(data)
                with suppress(OSError):
                    _write(Path(name) / found.path, data)
            yield Path(name)


def _number(found: FoundFile) -> int:
    return found.number


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)

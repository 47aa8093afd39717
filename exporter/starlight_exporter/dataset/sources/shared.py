"""Sources that stay open in this process, for single images of several datasets."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from typing import Final

from starlight_exporter.dataset.sources.folder import FolderSource
from starlight_exporter.dataset.sources.opening import open_source
from starlight_exporter.dataset.sources.root import DatasetRoot
from starlight_exporter.dataset.sources.source import Source
from starlight_exporter.errors import DatasetError, ImageError, TooLargeError

_KEPT: Final = 4


class SharedSources:
    """Opens sources at first use, and closes those that were used least recently. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[DatasetRoot, Source] = OrderedDict()

    def read_evaluated(self, root: DatasetRoot, path: str, sha256: str | None, *, max_bytes: int) -> bytes:
        """Return the content of an evaluated file, with this SHA-256 if it is not None.

        Raise ImageError, which names the file, if it is missing, too large or has changed.
        """
        with self._lock:
            try:
                return _read(self._source(root), path, sha256, max_bytes)
            except ImageError:
                source = self._open.pop(root, None)
                if source is None or isinstance(source, FolderSource):
                    raise
                # The listing may be older than the evaluation.
                source.close()
                return _read(self._source(root), path, sha256, max_bytes)

    def _source(self, root: DatasetRoot) -> Source:
        source = self._open.get(root)
        if source is None:
            source = self._open[root] = open_source(root)
        self._open.move_to_end(root)
        while len(self._open) > _KEPT:
            self._open.popitem(last=False)[1].close()
        return source


def _read(source: Source, path: str, sha256: str | None, max_bytes: int) -> bytes:
    try:
        found = source.find(path)
        data = None if found is None else source.read(found, max_bytes=max_bytes)
    except DatasetError as error:
        raise ImageError(f"{path}: cannot be read: {error}", reason="unreadable") from error
    except TooLargeError as error:
        raise ImageError(f"{path}: {error}", reason="too_large") from error
    except ImageError as error:
        raise ImageError(f"{path}: {error}", reason=error.reason) from error
    if data is None:
        raise ImageError(f"{path}: is no longer in the dataset", reason="unreadable")
    if sha256 not in (None, hashlib.sha256(data).hexdigest()):
        raise ImageError(f"{path}: has changed since it was evaluated", reason="unreadable")
    return data


SHARED: Final = SharedSources()
"""Those of this process; their fetchers end with it."""

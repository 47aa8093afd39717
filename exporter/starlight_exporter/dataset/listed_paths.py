"""Paths of a label manifest, of which none may be listed twice: 8 bytes each, because there may be a million."""

from __future__ import annotations

from typing import Final

import numpy as np

from starlight_exporter.dataset.found_files import hash_of_path
from starlight_exporter.dataset.manifest_rows import ManifestError

_BATCH: Final = 16_384


class ListedPaths:
    """Checks the paths of the rows in batches. Use `add` for each row, then `check` for the last batch."""

    def __init__(self) -> None:
        self._known = np.empty(0, np.uint64)
        self._recent: dict[int, tuple[str, str]] = {}

    def add(self, path: str, where: str) -> None:
        """Add the path of a row. Raise ManifestError if it, or one of the rows shortly before it, is listed already."""
        path_hash = hash_of_path(path)
        if path_hash in self._recent:
            raise _listed_twice(path, where)
        self._recent[path_hash] = path, where
        if len(self._recent) == _BATCH:
            self.check()

    def check(self) -> None:
        """Compare the last rows with all before them. Raise ManifestError if one has the path of an earlier one."""
        hashes = np.array(sorted(self._recent), np.uint64)
        places = np.searchsorted(self._known, hashes)
        is_before_end = places < len(self._known)
        candidates = hashes[is_before_end]
        twice = set(candidates[self._known[places[is_before_end]] == candidates].tolist())
        if twice:
            raise _listed_twice(*next(row for path_hash, row in self._recent.items() if path_hash in twice))
        self._known = np.insert(self._known, places, hashes)
        self._recent = {}


def _listed_twice(path: str, where: str) -> ManifestError:
    return ManifestError(f"{where}: lists {path[:200]!r} a second time")

"""Resolve stated covers: files that were made from one cover have the same cover in results."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Final

from starlight_exporter.dataset.dataset import FileClass, LabelledFile
from starlight_exporter.dataset.found_files import FoundFiles
from starlight_exporter.dataset.labelled_files import LabelsOf
from starlight_exporter.dataset.labels import Labels

_CACHED_COVERS: Final = 4096


class Covers:
    """The covers of one dataset.

    A stated cover is replaced by the path of that clean file, if it is in the dataset: both have the same cover. It can
    be stated relative to the folder of the clean files. A clean file can have a cover too. A stego file without a
    source has that of its cover.
    """

    def __init__(self, files: FoundFiles, labels_of: LabelsOf, clean_folder: str) -> None:
        self._files = files
        self._labels_of = labels_of
        self._clean_folder = clean_folder
        # Each clean file is followed once: a manifest may state a chain of all its files.
        self._known: dict[str, str] = {}
        # Files of one cover follow each other.
        self._clean_file = lru_cache(_CACHED_COVERS)(self._find_clean_file)

    def resolved(self, file_class: FileClass, cover: str | None, source: str | None) -> tuple[str | None, str | None]:
        """Return cover and source of a file that states these."""
        if cover is None:
            return cover, source
        own = self._clean_file(cover)
        inherited = own[1].source if own is not None and file_class == "stego" else None
        return self._resolved(cover), source or inherited

    def completed(self, file: LabelledFile) -> LabelledFile:
        """Return a file with its resolved cover and source."""
        cover, source = self.resolved(file.file_class, file.cover, file.source)
        if (cover, source) == (file.cover, file.source):
            return file
        return replace(file, cover=cover, source=source)

    def _resolved(self, cover: str) -> str:
        passed: dict[str, int] = {}
        while (found := self._clean_file(cover)) is not None:
            path, labels = found
            if labels.cover is None or path in self._known:
                cover = self._known.get(path, path)
                break
            if path in passed:
                # Clean files that state each other are one cover.
                cover = min(list(passed)[passed[path] :])
                break
            passed[path] = len(passed)
            cover = labels.cover
        self._known.update(dict.fromkeys(passed, cover))
        return cover

    def _find_clean_file(self, cover: str) -> tuple[str, Labels] | None:
        """Return the path and the labels of the clean file that a cover names."""
        for path in (f"{self._clean_folder}/{cover}", cover):
            number = self._files.number_of(path)
            file = None if number is None else self._files[number]
            if file is not None and file.file_class == "clean":
                return path, self._labels_of(file)
        return None

"""Listing of a dataset with what its labels need to know about all files: the driver's view, before any image is read.

The results of shards are completed in the order of the listing: covers are resolved, and the fingerprint is computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from starlight_exporter.dataset.categories import CategoryLimit, category_limit
from starlight_exporter.dataset.covers import Covers
from starlight_exporter.dataset.found_files import FoundFile, FoundFiles
from starlight_exporter.dataset.labelled_files import LabelledFiles
from starlight_exporter.dataset.labels import Labels
from starlight_exporter.dataset.sources.source import Source
from starlight_exporter.dataset.window import Window, inside


class Listing:
    """The files of a dataset in the order of its results. `shards` creates what is sent to other processes."""

    def __init__(self, labelled: LabelledFiles, *, files_outside_window: int = 0) -> None:
        self.files: FoundFiles = labelled.found
        self.files_outside_window = files_outside_window
        self.covers = Covers(labelled.found, labelled.labels_of, labelled.clean_folder)
        self.labelled = labelled
        negatives = (self.files[int(number)] for number in self.files.of_class("negative"))
        self.categories: CategoryLimit | None = category_limit(labelled.labels_of(file).category for file in negatives)

    def shards(self, shard_files: int, numbers: Sequence[int] | None = None) -> ListedShards:
        """Return the files in shards of this size, optionally those with these numbers in this order."""
        return ListedShards(self, shard_files, range(len(self.files)) if numbers is None else numbers)

    def shard(self, numbers: Iterable[int]) -> tuple[FoundFile, ...]:
        """Return some files as one shard; they have their labels if a manifest states them."""
        files = (self.files[number] for number in numbers)
        if not self.labelled.has_manifest:
            return tuple(files)
        return tuple(replace(file, labels=self.labelled.labels_of(file)) for file in files)

    def stated_facts(self) -> Iterator[tuple[object, ...]]:
        """Yield what a label manifest states about each file besides its labels; nothing without a manifest."""
        if not self.labelled.has_manifest:
            return
        for file in self.files:
            labels = self.labelled.labels_of(file)
            cover, source = self.covers.resolved(file.file_class, labels.cover, labels.source)
            yield cover, source, labels.payload_bytes, labels.bit_order, labels.reaches_crop


class ListedShards:
    """The files of a listing in shards of equal size; a last shard of one file is part of the one before it."""

    def __init__(self, listing: Listing, shard_files: int, numbers: Sequence[int]) -> None:
        self._listing = listing
        self._shard_files = shard_files
        self._numbers = numbers

    def __len__(self) -> int:
        """See Shards."""
        full, rest = divmod(len(self._numbers), self._shard_files)
        return full + (rest > 0 if full == 0 else rest > 1)

    def __getitem__(self, number: int, /) -> tuple[FoundFile, ...]:
        """See Shards."""
        start = number * self._shard_files
        end = len(self._numbers) if number == len(self) - 1 else start + self._shard_files
        return self._listing.shard(self._numbers[start:end])


def list_labelled(source: Source) -> Listing:
    """List a labelled dataset. Raise DatasetError."""
    return Listing(source.labelled_files())


def list_unlabelled(source: Source, window: Window | None) -> Listing:
    """List the files of the window; the others are counted. An empty folder has none. Raise DatasetError."""
    found = source.unlabelled_files()
    chosen = inside(found, window, source.modified_ns)
    labelled = LabelledFiles(
        FoundFiles.of(found.root, sorted(chosen, key=lambda file: file.number), ignored=found.ignored),
        lambda _: Labels(),
        has_manifest=False,
        clean_folder="",
    )
    return Listing(labelled, files_outside_window=len(found) - len(chosen))

"""Scan a dataset: label and hash all files, without decoding them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from starlight_exporter.activity import NO_ACTIVITY, Activity
from starlight_exporter.dataset.categories import CategoryLimit
from starlight_exporter.dataset.content_index import ContentIndex
from starlight_exporter.dataset.dataset import FileFault, LabelledFile
from starlight_exporter.dataset.engine import Engine, Shard, shard_files
from starlight_exporter.dataset.fingerprint import Fingerprint
from starlight_exporter.dataset.listing import Listing
from starlight_exporter.dataset.shard_reader import ShardReader
from starlight_exporter.dataset.sources.opening import open_source
from starlight_exporter.dataset.sources.root import DatasetRoot
from starlight_exporter.dataset.sources.source import Source


@dataclass(frozen=True, slots=True)
class ScanJob:
    """Labels and hashes the files of shards; see `engine.Job`.

    `index` is the folder of a ContentIndex: files whose content is known by their identity are not read.
    """

    root: DatasetRoot
    max_file_bytes: int
    image_seconds: float
    categories: CategoryLimit | None = None
    faults: tuple[FileFault, ...] = ()
    index: Path | None = None

    def start(self, activity: Activity = NO_ACTIVITY, memory_bytes: int | None = None) -> _OpenScan:  # noqa: ARG002
        """See Job."""
        source = open_source(self.root)
        index = None if self.index is None else ContentIndex(self.index)
        reader = ShardReader(
            source,
            max_file_bytes=self.max_file_bytes,
            categories=self.categories,
            faults=self.faults,
            index=index,
            activity=activity,
        )
        return _OpenScan(source, reader, index)


class _OpenScan:
    def __init__(self, source: Source, reader: ShardReader, index: ContentIndex | None) -> None:
        self._index = index
        self._source = source
        self._reader = reader

    def run(self, shard: Shard, faults: Sequence[FileFault] = ()) -> tuple[LabelledFile, ...]:
        """See OpenJob."""
        return tuple(one.file for one in self._reader.files(shard, faults))

    def close(self) -> None:
        """See OpenJob."""
        if self._index is not None:
            self._index.close()
        self._source.close()


class Scan:
    """A scan of a listed dataset. The fingerprint is available once all files were iterated."""

    def __init__(self, listing: Listing, job: ScanJob, engine: Engine) -> None:
        self._listing = listing
        self._job = job
        self._engine = engine
        self._fingerprint = Fingerprint()

    def files(self) -> Iterator[LabelledFile]:
        """Yield the files in the order of the listing, with complete labels."""
        shards = self._listing.shards(shard_files(len(self._listing.files), self._engine))
        for result in self._engine.map(self._job, shards, progress=_ignored):
            for file in result:
                completed = self._listing.covers.completed(file)
                self._fingerprint.add(completed, completed.size_bytes)
                yield completed

    def fingerprint(self) -> str:
        """Return the fingerprint of all files, after their iteration."""
        return self._fingerprint.finished(self._listing.stated_facts())


def _ignored(_done: int) -> None:
    """Ignore the progress."""

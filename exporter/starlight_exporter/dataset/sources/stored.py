"""Source of a dataset in a store: objects that are images, or tar and Parquet shards that contain them.

The names in the root determine which, as they determine the layout. A label manifest with the columns `shard`, `offset`
and `size_bytes` is the index of the shards; without it, the headers of tar shards and the paths of Parquet shards are
read to list the dataset.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

import numpy as np

from starlight_exporter.dataset.class_folders import class_named
from starlight_exporter.dataset.found_files import FoundFile, FoundFiles
from starlight_exporter.dataset.ignored import is_ignored_folder
from starlight_exporter.dataset.labelled_files import LabelledFiles
from starlight_exporter.dataset.labels import Labels, read_labels
from starlight_exporter.dataset.manifest import (
    MAX_MANIFEST_BYTES,
    Manifest,
    manifest_name,
    manifest_of,
    parsed_manifest,
)
from starlight_exporter.dataset.manifest_rows import ManifestError, ManifestRow
from starlight_exporter.dataset.metadata import as_manifest_row
from starlight_exporter.dataset.sidecar import Sidecar
from starlight_exporter.dataset.sources.base import BaseSource, Read
from starlight_exporter.dataset.sources.members import (
    Member,
    in_class_folders,
    listed_in_manifest,
    not_found,
    unlabelled_members,
)
from starlight_exporter.dataset.sources.names import PARQUET, has_only_shards, is_ignored_path, is_relative, is_shard
from starlight_exporter.dataset.sources.parquet_shards import ParquetShards, read_rows
from starlight_exporter.dataset.sources.placed import row_path
from starlight_exporter.dataset.sources.ranges import RangeFile, read_files
from starlight_exporter.dataset.sources.sidecars import StoredSidecars
from starlight_exporter.dataset.sources.store import CHANGED, MAX_FILES, Store, StoredObject, start_range
from starlight_exporter.dataset.sources.tar_index import ShardError, tar_members
from starlight_exporter.errors import DatasetError, ImageError
from starlight_exporter.formatting import size as formatted_size

_HEADER_BUFFER: Final = 1024 * 1024
_LOCAL_HEADER_BUFFER: Final = 16 * 1024


class StoreSource(BaseSource):
    """Files of a store. The listing is in the order in which they are stored."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.root)
        self._store = store
        self._parquet = ParquetShards(store)
        self._lock = threading.Lock()
        self._objects: dict[str, StoredObject] | None = None
        self._sidecars = StoredSidecars(store, [])
        self._found: FoundFiles | None = None

    def __reduce__(self) -> tuple[object, ...]:
        # Another process lists again where it needs a listing.
        return StoreSource, (self._store,)

    def close(self) -> None:
        """See `Source`."""
        self._store.close()

    def labelled_files(self) -> LabelledFiles:
        """See `Source`."""
        objects = self._list()
        name = manifest_name(self.root, [name for name in objects if "/" not in name], self._class_folders(objects))
        manifest, stamp = None, ""
        if name is not None:
            manifest, stamp = self._manifest(objects[name])
        if manifest is not None and manifest.has_places and has_only_shards(objects):
            found = self._placed(manifest, objects, stamp)
            labelled = LabelledFiles(found, manifest.labels_of, has_manifest=True, clean_folder="clean")
        else:
            labelled = self._labelled(objects, manifest, name, stamp)
        if not labelled.found:
            raise DatasetError(f"{self.root}: no images")
        self._found = labelled.found
        return labelled

    def _labelled(
        self, objects: dict[str, StoredObject], manifest: Manifest | None, name: str | None, stamp: str
    ) -> LabelledFiles:
        """Return the images among the objects, or the files in all shards."""
        if not has_only_shards(objects):
            members: Iterable[Member] = [
                Member(one.name, one.size_bytes, one.identity) for one in objects.values() if one.name != name
            ]
        else:
            members, rows = self._members(objects)
            if manifest is None and rows:
                manifest = self._manifest_of(rows)
        return self._with_labels(members, manifest, stamp)

    def unlabelled_files(self) -> FoundFiles:
        """See `Source`."""
        objects = self._list(may_be_empty=True)
        if has_only_shards(objects):
            members, _ = self._members(objects)
        else:
            members = [Member(one.name, one.size_bytes, one.identity) for one in objects.values()]
        self._found = unlabelled_members(self.root, members)
        return self._found

    def find(self, path: str) -> FoundFile | None:
        """See `Source`; lists the dataset if that was not done."""
        found = self._found
        if found is None:
            try:
                found = self.labelled_files().found
            except DatasetError:
                found = self.unlabelled_files()
        number = found.number_of(path)
        return None if number is None else found[number]

    def labels(self, found: FoundFile) -> Labels:
        """See `Source`."""
        return read_labels(found, self._sidecar)

    def modified_ns(self, found: FoundFile) -> int | None:
        """See `Source`; the time of its shard for a file in a shard."""
        objects = self._objects
        stored = None if objects is None else objects.get(found.shard or found.path)
        return None if stored is None else stored.modified_ns

    def read(self, found: FoundFile, *, max_bytes: int) -> bytes:
        """See `Source`."""
        for _, content in self.read_shard([found], max_bytes=max_bytes):
            if isinstance(content, ImageError):
                raise content
            return content
        raise AssertionError("read_shard yields every file")

    def read_shard(self, files: Sequence[FoundFile], *, max_bytes: int) -> Iterator[Read]:
        """See `Source`."""
        for is_parquet, group in groupby(files, lambda found: (found.shard or "").lower().endswith(PARQUET)):
            if is_parquet:
                yield from read_rows(self._parquet, self._shard, group, max_bytes=max_bytes)
            else:
                yield from read_files(self._store, group, max_bytes=max_bytes)

    def _list(self, *, may_be_empty: bool = False) -> dict[str, StoredObject]:
        objects = {one.name: one for one in self._store.objects()}
        outside = next((name for name in objects if not is_relative(name)), None)
        if outside is not None:
            text = f"has an object {outside[:200]!r}, whose name must be relative, without empty parts, . and .."
            raise DatasetError(f"{self.root}: {text}")
        if not objects and not may_be_empty:
            raise DatasetError(f"{self.root}: no objects with this prefix")
        self._objects = objects
        return objects

    def _manifest(self, stored: StoredObject) -> tuple[Manifest, str]:
        """Return a manifest and its SHA-256, because some servers state neither an ETag nor a time."""
        if stored.size_bytes > MAX_MANIFEST_BYTES:
            raise DatasetError(f"{self.root}/{stored.name}: larger than {formatted_size(MAX_MANIFEST_BYTES)}")
        try:
            data = start_range(self._store, stored.name, 0, stored.size_bytes, stored.identity)()
        except ImageError as error:
            raise DatasetError(f"{self.root}: {error}") from error
        return parsed_manifest(self.root, stored.name, data), hashlib.sha256(data).hexdigest()

    def _placed(self, manifest: Manifest, objects: dict[str, StoredObject], stamp: str) -> FoundFiles:
        """Return the files where the manifest states that they are, in the order of the shards. Raise DatasetError."""
        listed = manifest.listed
        places = listed.places()
        shards = [self._checked_shard(manifest, objects, name) for name in places.names]
        is_tar = np.array([not one.name.lower().endswith(PARQUET) for one in shards])
        sizes = np.array([one.size_bytes for one in shards])
        # Not the ends: the sum of two stated numbers may be too large for an integer of the array.
        truncated = np.flatnonzero(is_tar[places.shards] & (places.sizes > sizes[places.shards] - places.offsets))
        if truncated.size:
            file = listed[int(truncated[0])]
            end, size = file.offset + (file.size_bytes or 0), sizes[places.shards[file.number]]
            raise DatasetError(f"{self.root}: {file.shard} is truncated: {manifest.name} names byte {end} of {size}")
        ranks = {name: rank for rank, name in enumerate(sorted(one.name for one in shards))}
        order = np.lexsort((places.offsets, np.array([ranks[one.name] for one in shards])[places.shards]))
        is_sorted = bool((order[1:] > order[:-1]).all())
        identities = {one.name: one.identity for one in shards}
        stamp = f"{stamp} {[one.size_bytes for one in shards]}"
        found = listed.in_store(self.root, identities, None if is_sorted else order, stamp, manifest.name)
        # As in a folder, where such a file is not found.
        ignored = (number for number in range(len(found)) if is_ignored_path(found.path(number)))
        return found.with_problems(dict.fromkeys(ignored, not_found(manifest)))

    def _checked_shard(self, manifest: Manifest, objects: dict[str, StoredObject], name: str | None) -> StoredObject:
        if name is None:
            file = next(file for file in manifest.listed if file.shard is None)
            raise DatasetError(f"{self.root}/{manifest.name}: has the shard of some files, not of {file.path[:200]!r}")
        stored = objects.get(name)
        if stored is None:
            raise DatasetError(f"{self.root}: {name}, which {manifest.name} names, is missing")
        return stored

    def _members(self, objects: dict[str, StoredObject]) -> tuple[list[Member], list[ManifestRow]]:
        """Return the files in all shards, and the labels of those in Parquet shards. Raise DatasetError."""
        members: list[Member] = []
        rows: list[ManifestRow] = []
        listed: set[str] = set()
        for stored in filter(lambda one: is_shard(one.name), objects.values()):
            try:
                if stored.name.lower().endswith(PARQUET):
                    found = self._parquet_members(stored, rows)
                else:
                    found = self._tar_members(stored)
                for member in found:
                    _require_new(member.path, listed)
                    members.append(member)
                    if len(members) > MAX_FILES:
                        raise DatasetError(f"{self.root}: more than {MAX_FILES} files in its shards")
            except ShardError as error:
                raise DatasetError(f"{self.root}: {stored.name} {error}") from error
        return members, rows

    def _tar_members(self, stored: StoredObject) -> Iterator[Member]:
        buffer = _HEADER_BUFFER if self.is_remote else _LOCAL_HEADER_BUFFER
        for one in tar_members(RangeFile(self._store, stored, buffer_bytes=buffer)):
            yield Member(one.name, one.size_bytes, stored.identity, stored.name, one.offset, one.problem)

    def _parquet_members(self, stored: StoredObject, rows: list[ManifestRow]) -> Iterator[Member]:
        for number, cells in enumerate(self._parquet.shard(stored).rows()):
            name = cells.pop("path")
            path = row_path(stored.name, number, name)
            rows.append(ManifestRow(f"{stored.name}: row {number}", {**_present(cells), "file_name": path}))
            yield Member(path, None, stored.identity, stored.name, number)

    def _manifest_of(self, rows: list[ManifestRow]) -> Manifest:
        try:
            return manifest_of("the Parquet shards", map(as_manifest_row, rows))
        except ManifestError as error:
            raise DatasetError(f"{self.root}: {error}") from error

    def _with_labels(self, members: Iterable[Member], manifest: Manifest | None, stamp: str) -> LabelledFiles:
        if manifest is not None:
            found = listed_in_manifest(self.root, members, manifest, stamp)
            return LabelledFiles(found, manifest.labels_of, has_manifest=True, clean_folder="clean")
        members = list(members)
        folders, found = in_class_folders(self.root, members)
        used = {found.sidecar for found in found if found.sidecar is not None}
        self._sidecars = StoredSidecars(self._store, [member for member in members if member.path in used])
        clean = next((name for name, file_class in folders.items() if file_class == "clean"), "clean")
        return LabelledFiles(found, self.labels, has_manifest=False, clean_folder=clean)

    def _sidecar(self, found: FoundFile) -> Sidecar:
        if found.sidecar is None:
            return Sidecar()
        with self._lock:
            if self._found is None:
                self.labelled_files()
        return self._sidecars.get(found.sidecar)

    def _shard(self, found: FoundFile) -> StoredObject:
        """Return the shard of a file from the listing, which is made again in a process that has none.

        Raise ImageError if the shard has changed.
        """
        with self._lock:
            objects = self._list() if self._objects is None else self._objects
        stored = objects.get(found.shard or "")
        if stored is None or stored.identity != found.identity:
            raise ImageError(f"{found.shard} {CHANGED}", reason="unreadable")
        return stored

    @staticmethod
    def _class_folders(objects: dict[str, StoredObject]) -> Iterator[str]:
        tops = sorted({name.partition("/")[0] for name in objects if "/" in name})
        return (name for name in tops if class_named(name) is not None and not is_ignored_folder(name))


def _require_new(path: str, listed: set[str]) -> None:
    if path in listed:
        raise ShardError(f"contains {path[:200]!r}, which is in the dataset already")
    listed.add(path)


def _present(cells: dict[str, object]) -> dict[str, object]:
    return {name: cell for name, cell in cells.items() if cell not in (None, "")}

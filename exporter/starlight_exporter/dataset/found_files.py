"""Listing of a dataset: the files that were found, packed, because a dataset may have a million of them.

A file takes its path and about 30 bytes. `FoundFile` objects are created on access.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, overload

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.dataset.dataset import FILE_CLASSES, FileClass
from starlight_exporter.dataset.ignored import SIDECAR_SUFFIX
from starlight_exporter.dataset.names import printable_path
from starlight_exporter.dataset.sources.root import DatasetRoot

if TYPE_CHECKING:
    from starlight_exporter.dataset.labels import Labels

_UNKNOWN: Final = -1
_NO_SIDECAR, _LONG_SIDECAR, _SHORT_SIDECAR, _OTHER_SIDECAR = range(4)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that is treated as an image, or an entry with a problem that is known before it is opened.

    Paths are relative to the root. `sidecar` is None if there is none. `size_bytes` is None if it is unknown.
    `shard` is the tar or Parquet file that contains the file, and `offset` its first byte in it, or its row.
    `identity` is opaque text that changes with the content of the shard, without a shard with that of the file; None if
    only the content identifies the file. `number` is the position in the listing. `labels` are those that a label
    manifest states, None without a manifest: then they are read from the sidecar, the folder and the name.
    `placed_by` is the name of the manifest that states the place in the shard, None if the shard was listed.
    """

    root: DatasetRoot
    path: str
    file_class: FileClass
    sidecar: str | None = None
    problem: str | None = None
    size_bytes: int | None = None
    identity: str | None = None
    number: int = 0
    labels: Labels | None = None
    shard: str | None = None
    offset: int = 0
    placed_by: str | None = None

    @property
    def content_key(self) -> str | None:
        """Text that is equal for equal content in a remote dataset; None if only the content identifies the file."""
        if self.identity is None or isinstance(self.root, Path):
            return None
        # With the path: the content at a place that a manifest states must be that of this file.
        name = self.path if self.shard is None else f"{self.shard}\0{self.path}"
        return f"{self.root}\0{name}\0{self.identity}\0{self.offset}\0{self.size_bytes}"


@dataclass(frozen=True, slots=True)
class Places:
    """Where the files of a listing are: names of shards, and by file the number of its shard, offset and size."""

    names: Sequence[str | None]
    shards: NDArray[np.int64]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]


class FoundFiles(Sequence[FoundFile]):
    """The files of a dataset in the order of the listing, and the number of entries that are ignored by their names.

    `digest` changes with every path, class, size, time and identity, without reading a file.
    """

    def __init__(self, builder: FoundFilesBuilder, *, ignored: int) -> None:
        self.root = builder.root
        self.ignored = ignored
        self.digest = builder.digest.hexdigest()
        self._paths = builder.paths
        self._classes = bytes(builder.classes)
        self._sidecars = bytes(builder.sidecars)
        self._other_sidecars = builder.other_sidecars
        self._problems = builder.problems
        self._sizes = builder.sizes
        self._identities = builder.identities
        self._shards = list(builder.shards)
        self._shard_codes = builder.shard_codes
        self._offsets = builder.offsets
        self._placed_by = builder.placed_by
        self._index: tuple[NDArray[np.uint64], NDArray[np.int64]] | None = None

    @staticmethod
    def of(root: DatasetRoot, files: Iterable[FoundFile], *, ignored: int = 0) -> FoundFiles:
        """Return a listing of these files, in this order."""
        builder = FoundFilesBuilder(root)
        for file in files:
            builder.add(file)
        return builder.finish(ignored=ignored)

    def __len__(self) -> int:
        return len(self._classes)

    @overload
    def __getitem__(self, which: int) -> FoundFile: ...
    @overload
    def __getitem__(self, which: slice) -> tuple[FoundFile, ...]: ...
    def __getitem__(self, which: int | slice) -> FoundFile | tuple[FoundFile, ...]:
        if isinstance(which, slice):
            return tuple(self[number] for number in range(*which.indices(len(self))))
        number = which + len(self) if which < 0 else which
        if not 0 <= number < len(self):
            raise IndexError(which)
        path = self._paths.text(number)
        size = self._sizes[number]
        shard, identity = self._shard(number)
        return FoundFile(
            root=self.root,
            path=path,
            file_class=FILE_CLASSES[self._classes[number]],
            sidecar=self._sidecar(number, path),
            problem=self._problems.get(number),
            size_bytes=None if size == _UNKNOWN else size,
            identity=identity or self._identities.text(number) or None,
            number=number,
            shard=shard,
            offset=self._offsets[number] if shard is not None else 0,
            placed_by=self._placed_by if shard is not None else None,
        )

    def path(self, number: int) -> str:
        """Return the path of a file."""
        return self._paths.text(number)

    @property
    def has_shards(self) -> bool:
        """Whether a file is in a shard."""
        return bool(self._shards)

    def places(self) -> Places:
        """Return the places of the files, of which at least one is in a shard."""
        names = [name for name, _ in self._shards]
        codes = np.array(self._shard_codes, np.int64)
        return Places(names, codes, np.array(self._offsets, np.int64), np.array(self._sizes, np.int64))

    def in_store(
        self,
        root: DatasetRoot,
        identities: Mapping[str, str | None],
        order: NDArray[np.int64] | None,
        stamp: str,
        manifest: str,
    ) -> FoundFiles:
        """Return the files in this order, None for the present one, with the identities of their shards.

        `stamp` is text that changes with everything else in the listing, `manifest` the name of the manifest.
        """
        found = copy(self) if order is None else FoundFiles.of(root, (self[int(number)] for number in order))
        found.root = root
        found._placed_by = manifest
        found._shards = [(name, identities[name]) for name, _ in found._shards if name is not None]
        found.digest = hashlib.sha256("\0".join([stamp, *map(str, found._shards)]).encode()).hexdigest()
        return found

    def with_problems(self, problems: Mapping[int, str]) -> FoundFiles:
        """Return the listing with these problems of files, by number."""
        found = copy(self)
        found._problems = {**self._problems, **problems}
        return found

    def of_class(self, *file_classes: FileClass) -> NDArray[np.int64]:
        """Return the numbers of the files of these classes, ascending."""
        codes = np.frombuffer(self._classes, np.uint8)
        return np.flatnonzero(np.isin(codes, [FILE_CLASSES.index(name) for name in file_classes]))

    def up_to_size(self, size_bytes: int) -> NDArray[np.int64]:
        """Return the numbers of the files of at most this size, or of unknown size, ascending."""
        return np.flatnonzero(np.frombuffer(self._sizes, np.int64) <= size_bytes)

    def number_of(self, path: str) -> int | None:
        """Return the number of the file with this printable path; None if there is none."""
        hashes, order = self._hashes()
        wanted = hash_of_path(path)
        # NumPy would convert all hashes to search for a Python integer.
        at = int(np.searchsorted(hashes, np.uint64(wanted)))
        while at < len(hashes) and int(hashes[at]) == wanted:
            number = int(order[at])
            if printable_path(self._paths.text(number)) == path:
                return number
            at += 1
        return None

    def _hashes(self) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Return the sorted hashes of the paths and the numbers of their files; computed at first use."""
        if self._index is None:
            hashes = np.fromiter(
                (hash_of_path(printable_path(self._paths.text(number))) for number in range(len(self))),
                np.uint64,
                len(self),
            )
            order = np.argsort(hashes, kind="stable")
            self._index = hashes[order], order
        return self._index

    def _shard(self, number: int) -> tuple[str | None, str | None]:
        """Return the shard of a file and its identity."""
        return self._shards[self._shard_codes[number]] if self._shard_codes else (None, None)

    def _sidecar(self, number: int, path: str) -> str | None:
        match self._sidecars[number]:
            case code if code == _NO_SIDECAR:
                return None
            case code if code == _LONG_SIDECAR:
                return f"{path}{SIDECAR_SUFFIX}"
            case code if code == _SHORT_SIDECAR:
                return _short_sidecar(path)
            case _:
                return self._other_sidecars[number]


class FoundFilesBuilder:
    """Collects the files of a listing. Use `add` for each, then `finish`."""

    def __init__(self, root: DatasetRoot) -> None:
        self.root = root
        self.paths = _Texts()
        self.identities = _Texts()
        self.classes = bytearray()
        self.sidecars = bytearray()
        self.other_sidecars: dict[int, str] = {}
        self.problems: dict[int, str] = {}
        self.sizes = array("q")
        self.shards: dict[tuple[str | None, str | None], int] = {}
        """Distinct shards with their identities. Empty, as are the codes and offsets, without files in shards."""
        self.shard_codes = array("l")
        self.offsets = array("q")
        self.placed_by: str | None = None
        self.digest = hashlib.sha256()
        self._last = ""
        self._sorted = True

    def __len__(self) -> int:
        return len(self.classes)

    def add(self, file: FoundFile, *, stamp: str = "") -> None:
        """Add a file. `stamp` is text that changes with its content or labels, such as its modification time."""
        self.append(file)
        row = f"{self._last}\0{file.file_class}\0{file.size_bytes}\0{file.identity}\0{file.problem}\0{stamp}"
        row += "\n" if file.shard is None else f"\0{file.shard}\0{file.offset}\n"
        self.digest.update(row.encode("utf-8", "surrogateescape"))

    def append(self, file: FoundFile) -> None:
        """Add a file to a listing whose digest is not used."""
        number = len(self.classes)
        self.paths.append(file.path)
        self.classes.append(FILE_CLASSES.index(file.file_class))
        self.sizes.append(_UNKNOWN if file.size_bytes is None else file.size_bytes)
        self.identities.append("" if file.shard is not None else file.identity or "")
        self._add_shard(file, number)
        if file.problem is not None:
            self.problems[number] = file.problem
        code = _sidecar_code(file)
        self.sidecars.append(code)
        if code == _OTHER_SIDECAR and file.sidecar is not None:
            self.other_sidecars[number] = file.sidecar
        shown = printable_path(file.path)
        self._sorted = self._sorted and self._last <= shown
        self._last = shown

    def _add_shard(self, file: FoundFile, number: int) -> None:
        if file.shard is None and not self.shards:
            return
        if not self.shards and number:
            self.shards[None, None] = 0
            self.shard_codes.extend([0] * number)
            self.offsets.extend([0] * number)
        shard = (file.shard, file.identity) if file.shard is not None else (None, None)
        self.shard_codes.append(self.shards.setdefault(shard, len(self.shards)))
        self.offsets.append(file.offset)
        self.placed_by = file.placed_by or self.placed_by

    def finish(self, *, ignored: int, by_path: bool = False) -> FoundFiles:
        """Return the listing, optionally sorted by printable path."""
        found = FoundFiles(self, ignored=ignored)
        if not by_path or self._sorted:
            return found
        # Rare: listings are produced in this order, except for folders that could not be searched.
        digest = found.digest
        found = FoundFiles.of(self.root, sorted(found, key=lambda file: printable_path(file.path)), ignored=ignored)
        found.digest = digest
        return found


class _Texts:
    """Texts in one buffer."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._ends = array("Q")

    def append(self, text: str) -> None:
        self._bytes += os.fsencode(text)
        self._ends.append(len(self._bytes))

    def text(self, number: int) -> str:
        start = self._ends[number - 1] if number else 0
        return os.fsdecode(bytes(self._bytes[start : self._ends[number]]))


def _sidecar_code(file: FoundFile) -> int:
    if file.sidecar is None:
        return _NO_SIDECAR
    if file.sidecar == f"{file.path}{SIDECAR_SUFFIX}":
        return _LONG_SIDECAR
    return _SHORT_SIDECAR if file.sidecar == _short_sidecar(file.path) else _OTHER_SIDECAR


def _short_sidecar(path: str) -> str:
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{PurePosixPath(name).stem}{SIDECAR_SUFFIX}"


def hash_of_path(path: str) -> int:
    """Return a hash of 64 bits, by which paths are looked up."""
    return int.from_bytes(hashlib.blake2b(path.encode("utf-8", "surrogateescape"), digest_size=8).digest())

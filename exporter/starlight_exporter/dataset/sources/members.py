"""Labelled and unlabelled files of a dataset whose names are known as a list: members of shards, and objects."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from starlight_exporter.dataset.class_folders import class_folders
from starlight_exporter.dataset.dataset import FileClass
from starlight_exporter.dataset.found_files import FoundFile, FoundFiles, FoundFilesBuilder
from starlight_exporter.dataset.ignored import is_ignored_folder, may_be_sidecar
from starlight_exporter.dataset.manifest import Manifest
from starlight_exporter.dataset.sources.names import is_ignored_path
from starlight_exporter.dataset.sources.root import DatasetRoot
from starlight_exporter.dataset.walk import Sidecars

_NO_METHOD: Final = "stego"
"""Class of a file that a manifest does not list: every file has a class."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file by its name, and where it is; see `FoundFile`."""

    path: str
    size_bytes: int | None
    identity: str | None
    shard: str | None = None
    offset: int = 0
    problem: str | None = None

    def found(self, root: DatasetRoot, file_class: FileClass, sidecar: str | None = None) -> FoundFile:
        """Return the member as a file of a dataset."""
        return FoundFile(
            root=root,
            path=self.path,
            file_class=file_class,
            sidecar=sidecar,
            problem=self.problem,
            size_bytes=self.size_bytes,
            identity=self.identity,
            shard=self.shard,
            offset=self.offset,
        )


def listed_in_manifest(root: DatasetRoot, members: Iterable[Member], manifest: Manifest, stamp: str) -> FoundFiles:
    """Return the members with their classes, and those that the manifest lists but were not found.

    `stamp` is text that changes with the manifest.
    """
    builder = FoundFilesBuilder(root)
    builder.digest.update(stamp.encode())
    listed, ignored = manifest.listed, 0
    missing = bytearray(b"\1") * len(listed)
    for member in members:
        if is_ignored_path(member.path):
            ignored += member.path != manifest.name
            continue
        number = listed.number_of(member.path)
        if number is None:
            builder.add(member.found(root, _NO_METHOD))
        else:
            missing[number] = 0
            builder.add(member.found(root, listed[number].file_class))
    for number in itertools.compress(range(len(listed)), missing):
        builder.add(FoundFile(root, listed[number].path, listed[number].file_class, problem=not_found(manifest)))
    return builder.finish(ignored=ignored)


def not_found(manifest: Manifest) -> str:
    """Return the problem of a file that a manifest lists, and the dataset does not have."""
    return f"is listed in {manifest.name}, but was not found"


def in_class_folders(root: DatasetRoot, members: Sequence[Member]) -> tuple[Mapping[str, FileClass], FoundFiles]:
    """Return the class folders with their classes, and the members in them. Raise DatasetError; see class_folders."""
    tops = {member.path.partition("/")[0] for member in members}
    folders = class_folders(root, tops, {member.path.partition("/")[0] for member in members if "/" in member.path})
    sidecars = _sidecars(members, folders)
    builder, ignored = FoundFilesBuilder(root), 0
    stamps = {member.path: f"{member.identity}" for member in members if may_be_sidecar(member.path.rpartition("/")[2])}
    for member in members:
        top = member.path.partition("/")[0]
        if top not in folders or "/" not in member.path:
            continue
        folder, _, name = member.path.rpartition("/")
        of_folder = sidecars.get(folder)
        if is_ignored_path(member.path):
            ignored += of_folder is None or not of_folder.is_used(name)
            continue
        sidecar = None if of_folder is None else of_folder.of(name)
        path = None if sidecar is None else f"{folder}/{sidecar}"
        builder.add(member.found(root, folders[top], path), stamp="" if path is None else stamps.get(path, ""))
    return folders, builder.finish(ignored=ignored)


def unlabelled_members(root: DatasetRoot, members: Iterable[Member]) -> FoundFiles:
    """Return the members as files without labels."""
    builder, ignored = FoundFilesBuilder(root), 0
    for member in members:
        if is_ignored_path(member.path):
            ignored += 1
        else:
            builder.add(member.found(root, "unlabelled"))
    return builder.finish(ignored=ignored)


def _sidecars(members: Iterable[Member], folders: Mapping[str, FileClass]) -> dict[str, Sidecars]:
    """Return the sidecars by folder, of folders of stego files that have JSON files."""
    names: defaultdict[str, list[str]] = defaultdict(list)
    for member in members:
        folder, _, name = member.path.rpartition("/")
        if folders.get(folder.partition("/")[0]) == "stego" and not any(map(is_ignored_folder, folder.split("/"))):
            names[folder].append(name)
    return {folder: Sidecars(inside) for folder, inside in names.items() if any(map(may_be_sidecar, inside))}

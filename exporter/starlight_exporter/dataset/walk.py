"""Find the files of a dataset folder, with their sidecars.

Links inside the dataset are followed. A folder that is linked inside itself, and a link that leads out of the dataset,
are returned as entries with a problem.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Final

from starlight_exporter.dataset.class_folders import class_folders
from starlight_exporter.dataset.dataset import FileClass
from starlight_exporter.dataset.found_files import FoundFile, FoundFiles, FoundFilesBuilder
from starlight_exporter.dataset.ignored import LABEL_FILES, SIDECAR_SUFFIX, is_ignored, is_ignored_folder
from starlight_exporter.dataset.names import printable_path
from starlight_exporter.errors import DatasetError

MAX_DEPTH: Final = 64
"""Number of nested folders that are searched."""
MAX_LINKED_FOLDERS: Final = 1000
"""Number of linked folders that are searched: links to folders of links would multiply without end."""

_Identity = tuple[int, int]


def find_files(root: Path) -> tuple[Mapping[str, FileClass], FoundFiles]:
    """Return the class folders with their classes, and the files below them.

    Raise DatasetError if `root` has no class folders, ambiguous ones, or cannot be listed.
    """
    present, identity = _listed(root)
    folders = class_folders(root, present, {name for name, is_folder in present.items() if is_folder})
    search = _Search(root)
    for folder, file_class in sorted(folders.items(), key=lambda item: f"{item[0]}/"):
        search.enter(folder, file_class, (identity,))
    return folders, search.found()


def find_all_files(root: Path, classes: Mapping[str, FileClass], *, manifest: str) -> FoundFiles:
    """Return all files below the root, and those of `classes` (by path) that were not found, with this problem.

    `manifest` is the name of the file with the classes. A file that it does not list counts as a stego file without
    method, because every file has a class. Raise DatasetError if `root` cannot be listed.
    """
    _listed(root)
    search = _Search(root, classes)
    search.depend_on(manifest)
    search.enter("", None, ())
    found = search.found()
    missing = [path for path in classes if found.number_of(printable_path(path)) is None]
    for path in missing:
        search.add(path, classes[path], problem=f"is listed in {manifest}, but was not found")
    return search.found() if missing else found


def find_unlabelled_files(root: Path) -> FoundFiles:
    """Return the files below a folder without class folders. Raise DatasetError if `root` cannot be listed."""
    _listed(root)
    search = _Search(root)
    search.enter("", "unlabelled", ())
    return search.found()


def _listed(root: Path) -> tuple[dict[str, bool], _Identity]:
    """Return the names in the root of a dataset and whether they are folders, and its identity. Raise DatasetError."""
    try:
        with os.scandir(root) as entries:
            present = {entry.name: _is_folder(entry) for entry in entries}
        status = root.stat()
    except FileNotFoundError as error:
        raise DatasetError(f"{root}: no such dataset folder") from error
    except NotADirectoryError as error:
        raise DatasetError(f"{root}: is a file, not a dataset folder") from error
    except OSError as error:
        raise DatasetError(f"{root}: cannot be listed: {error.strerror}") from error
    return present, (status.st_dev, status.st_ino)


class _Search:
    """A recursive search, with its results so far. `classes` are the classes of files by path, from a manifest."""

    def __init__(self, root: Path, classes: Mapping[str, FileClass] = MappingProxyType({})) -> None:
        self._root = root
        self._prefix = f"{root}{os.sep}"
        self._real_root = Path(os.path.realpath(root))
        self._classes = classes
        self._linked = 0
        self._ignored = 0
        self._builder = FoundFilesBuilder(root)

    def found(self) -> FoundFiles:
        """Return the files so far, sorted by path."""
        return self._builder.finish(ignored=self._ignored, by_path=True)

    def enter(self, folder: str, file_class: FileClass | None, above: tuple[_Identity, ...]) -> None:
        """Search a folder below those that are identified by `above`; a class of None is looked up for each file."""
        path = self._root / folder
        if len(above) > MAX_DEPTH:
            self._report(folder, file_class, f"is more than {MAX_DEPTH} folders deep, which is not searched")
            return
        try:
            status = path.stat()
            here = (status.st_dev, status.st_ino)
            if here in above:
                self._report(folder, file_class, "is a link to a folder that contains it, which is not followed")
                return
            if above and path.is_symlink():
                self._linked += 1
                if not Path(os.path.realpath(path)).is_relative_to(self._real_root):
                    self._report(folder, file_class, "is a link out of the dataset, which is not followed")
                    return
                if self._linked > MAX_LINKED_FOLDERS:
                    self._report(folder, file_class, f"is one of more than {MAX_LINKED_FOLDERS} linked folders")
                    return
            with os.scandir(path) as entries:
                # Names only, because an entry takes several times the memory. A folder sorts by the paths of its files.
                names = [f"{entry.name}/" if _is_folder(entry) else entry.name for entry in entries]
        except OSError as error:
            self._report(folder, file_class, f"cannot be listed: {error.strerror}")
            return
        names.sort(key=printable_path)
        sidecars = Sidecars([name for name in names if not name.endswith("/")] if file_class == "stego" else [])
        prefix = f"{folder}/" if folder else ""
        for name in names:
            is_folder = name.endswith("/")
            if is_folder and not is_ignored_folder(name[:-1]):
                self.enter(prefix + name[:-1], file_class, (*above, here))
            elif not is_folder and not is_ignored(name):
                sidecar = sidecars.of(name)
                self.add(prefix + name, self._class(prefix + name, file_class), sidecar and prefix + sidecar)
            elif is_folder or not (sidecars.is_used(name) or (not above and name in LABEL_FILES)):
                self._ignored += 1

    def add(self, path: str, file_class: FileClass, sidecar: str | None = None, *, problem: str | None = None) -> None:
        """Add a file with its size, which is unknown if it cannot be read."""
        size, stamp = self._status(path)
        if sidecar is not None:
            stamp += self._status(sidecar)[1]
        self._builder.add(FoundFile(self._root, path, file_class, sidecar, problem, size), stamp=stamp)

    def depend_on(self, path: str) -> None:
        """Make the digest of the listing depend on a file with labels."""
        self._builder.digest.update(self._status(path)[1].encode())

    def _status(self, path: str) -> tuple[int | None, str]:
        """Return the size of a file and text that changes with its content; None and no text if it is unknown."""
        try:
            status = os.stat(f"{self._prefix}{path}")  # noqa: PTH116  # faster than a Path for each file
        except (OSError, ValueError):
            return None, ""
        return status.st_size, f"{status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} "

    def _class(self, path: str, file_class: FileClass | None) -> FileClass:
        return self._classes.get(path, "stego") if file_class is None else file_class

    def _report(self, path: str, file_class: FileClass | None, problem: str) -> None:
        self.add(path, self._class(path, file_class), problem=problem)


class Sidecars:
    """The sidecars of one folder: `{file}.json`, or `{stem}.json` if only one image has this stem."""

    def __init__(self, names: list[str]) -> None:
        images = [name for name in names if not is_ignored(name)]
        present = {name for name in names if name.endswith(SIDECAR_SUFFIX)}
        stems = Counter(PurePosixPath(name).stem for name in images if present)
        self._of: dict[str, str] = {}
        for name in images if present else ():
            stem = PurePosixPath(name).stem
            short = f"{stem}{SIDECAR_SUFFIX}"
            if f"{name}{SIDECAR_SUFFIX}" in present:
                self._of[name] = f"{name}{SIDECAR_SUFFIX}"
            elif short in present and stems[stem] == 1:
                self._of[name] = short
        self._used = frozenset(self._of.values())

    def of(self, image: str) -> str | None:
        """Return the name of the sidecar of an image, None if there is none."""
        return self._of.get(image)

    def is_used(self, name: str) -> bool:
        """Return whether a file is the sidecar of an image."""
        return name in self._used


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        # Such as a link to itself; reported when the file is read.
        return False

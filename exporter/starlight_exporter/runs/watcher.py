"""Poll files for changes: renames, symlink swaps and in-place writes, on every file system.

A change is reported once the file has been unmodified for `settle` seconds, so that it is not read half-written.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from starlight_exporter.dataset.ignored import LABEL_FILES, is_ignored, is_ignored_folder, may_be_sidecar
from starlight_exporter.dataset.sources.names import is_shard
from starlight_exporter.dataset.sources.root import DatasetRoot, RemoteRoot
from starlight_exporter.dataset.walk import MAX_DEPTH, MAX_LINKED_FOLDERS
from starlight_exporter.models.cards import CARD, MODEL
from starlight_exporter.runs.remote_listings import UNLISTED, RemoteListings

_log = structlog.get_logger(__name__)

Signature = tuple[object, ...] | None

MAX_BUSY_RATIO: Final = 0.05
"""Share of the time for the scan of one dataset: the next scan of a large one is delayed accordingly."""
MAX_SETTLE_FACTOR: Final = 10
"""A file that does not settle is reported after this multiple of the settle time."""


@dataclass(slots=True)
class _Watched:
    path: DatasetRoot
    sign: Callable[[Any], Signature]
    signature: Signature
    since: float
    unsettled_since: float
    reported: bool = True
    next_check: float = 0.0
    failing: bool = False


class Watcher:
    """Reports every settled change of a watched file or folder once. Thread-safe.

    A file that changes all the time is reported after MAX_SETTLE_FACTOR times the settle time. No lock is held while
    the file system is read.
    """

    def __init__(
        self,
        *,
        settle: float,
        clock: Callable[[], float] = time.monotonic,
        listings: RemoteListings | None = None,
    ) -> None:
        self.settle = settle
        self._clock = clock
        self.listings = RemoteListings() if listings is None else listings
        self._watched: dict[str, _Watched] = {}
        self._lock = threading.Lock()

    def watch_file(self, key: str, path: Path) -> None:
        """Watch the target of a path, through symlinks; it need not exist yet."""
        self._watch(key, path, file_signature)

    def watch_new_file(self, key: str, path: Path) -> None:
        """Watch a new file that may still be written. Report it as changed once its size and mtime are stable."""
        now = self._clock()
        watched = _Watched(path, file_signature, file_signature(path), now, now, reported=False)
        with self._lock:
            self._watched[key] = watched

    def watch_tree(self, key: str, root: DatasetRoot) -> None:
        """Watch the files of a dataset folder, or the objects of a remote dataset."""
        self._watch(key, root, self.listings.signature if isinstance(root, RemoteRoot) else tree_signature)

    def watch_models(self, key: str, root: Path) -> None:
        """Watch which subfolders of a folder have a model card or a model, and the content of the cards."""
        self._watch(key, root, models_signature)

    def keep_only(self, keys: Collection[str]) -> None:
        """Stop to watch everything else."""
        with self._lock:
            self._watched = {key: watched for key, watched in self._watched.items() if key in keys}
            self.listings.keep_only({one.path for one in self._watched.values() if isinstance(one.path, RemoteRoot)})

    def is_unsettled(self, key: str) -> bool:
        """Check a file now; return whether it has a change that `poll` has not reported yet, and will report soon."""
        with self._lock:
            watched = self._watched.get(key)
        if watched is None:
            return False
        now = self._check(watched)
        with self._lock:
            return not watched.reported and not self._has_waited(watched, now)

    def poll(self, *, trees: bool | None = None) -> list[str]:
        """Check everything once, or only the dataset folders or all but these, and return the key of each change.

        Only settled changes are returned. The check of a folder with a million files takes seconds.
        """
        with self._lock:
            due = [
                (key, watched)
                for key, watched in self._watched.items()
                if (self._clock() >= watched.next_check or not watched.reported)
                and trees in (None, watched.sign is tree_signature)
            ]
        changed = []
        for key, watched in due:
            try:
                now = self._check(watched)
                watched.failing = False
            except OSError as error:
                # A file that cannot be read must not stop the check of the others.
                if not watched.failing:
                    _log.error("file check failed", key=key, path=str(watched.path), reason=str(error))
                watched.failing = True
                continue
            with self._lock:
                settled = now - watched.since >= self.settle or self._has_waited(watched, now)
                if self._watched.get(key) is watched and not watched.reported and settled:
                    watched.reported = True
                    changed.append(key)
        return changed

    def _watch(self, key: str, path: DatasetRoot, sign: Callable[[Any], Signature]) -> None:
        with self._lock:
            known = self._watched.get(key)
            # Keep the state of a known path: it may have a change that has not settled yet.
            if known is not None and (known.path, known.sign) == (path, sign):
                return
        now = self._clock()
        watched = _Watched(path, sign, sign(path), now, now)
        with self._lock:
            self._watched[key] = watched

    def _check(self, watched: _Watched) -> float:
        before = self._clock()
        signature = watched.sign(watched.path)
        after = self._clock()
        with self._lock:
            watched.next_check = after + (after - before) / MAX_BUSY_RATIO
            if watched.signature == UNLISTED:
                watched.signature = signature
            elif signature != watched.signature:
                if watched.reported:
                    watched.unsettled_since = after
                watched.signature, watched.since, watched.reported = signature, after, False
        return after

    def _has_waited(self, watched: _Watched, now: float) -> bool:
        return now - watched.unsettled_since >= self.settle * MAX_SETTLE_FACTOR


def file_signature(path: Path) -> Signature:
    """Return identity, size and times of a file, which change with its content; None if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def models_signature(root: Path) -> Signature:
    """Return which subfolders have a card or model, with the signatures of the cards; None if unreadable."""
    try:
        names = sorted(os.listdir(root))  # noqa: PTH208  # faster than a Path for each name
    except OSError:
        return None
    # Models are watched separately once they are discovered.
    found = ((name, file_signature(root / name / CARD) or os.path.lexists(root / name / MODEL)) for name in names)
    return tuple(entry for entry in found if entry[1])


def tree_signature(root: Path) -> Signature:
    """Return a value that changes with any file of a dataset that a scan reads, following links; None if unreadable.

    Files and folders with ignored names do not count, and links to folders outside the dataset are not followed.
    """
    try:
        status = root.stat()
        os.scandir(root).close()
    except OSError:
        return None
    files, combined = 0, 0
    walk = _Walk(Path(os.path.realpath(root)))
    for path, signature in _files(str(root), ((status.st_dev, status.st_ino),), walk):
        files += 1
        # A sum does not depend on the order of the directory entries.
        combined = (combined + hash((path, signature))) & 0xFFFFFFFFFFFFFFFF
    return files, combined


@dataclass(slots=True)
class _Walk:
    """A walk through a dataset: its folder without links, and the number of linked folders so far."""

    root: Path
    linked: int = 0


def _files(folder: str, above: tuple[tuple[int, int], ...], walk: _Walk) -> Iterator[tuple[str, Signature]]:
    """Yield the files below a folder, within the limits of a scan."""
    folders = []
    try:
        with os.scandir(folder) as listing:
            # One entry after another: a list of all takes hundreds of bytes per file.
            for entry in listing:
                try:
                    status = entry.stat()
                    is_folder = entry.is_dir()
                except OSError:
                    yield entry.path, None
                    continue
                here = (status.st_dev, status.st_ino)
                if is_folder:
                    if here not in above and not is_ignored_folder(entry.name) and len(above) <= MAX_DEPTH:
                        folders.append((entry.path, entry.is_symlink(), here))
                    continue
                is_top = len(above) == 1 and (entry.name in LABEL_FILES or is_shard(entry.name))
                if is_top or may_be_sidecar(entry.name) or not is_ignored(entry.name):
                    yield entry.path, (*here, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    except OSError:
        return
    for path, is_link, here in folders:
        if is_link:
            walk.linked += 1
            if not Path(os.path.realpath(path)).is_relative_to(walk.root):
                # A scan reports the link. What it leads to may be large and change all the time, such as /proc.
                yield path, None
                continue
        if walk.linked <= MAX_LINKED_FOLDERS:
            yield from _files(path, (*above, here), walk)

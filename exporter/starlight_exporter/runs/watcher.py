"""Notices changed files by looking at them: renames, symlink swaps and writes in place, on every file system.

A change counts once the file has rested for `settle` seconds, so that a half-written one is left alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from starlight_exporter.models.cards import CARD, MODEL

_log = structlog.get_logger(__name__)

Signature = tuple[object, ...] | None

BUSY_SHARE = 0.05
"""A look at a large dataset takes at most this share of the time: the next one waits accordingly."""


@dataclass(slots=True)
class _Watched:
    path: Path
    look: Callable[[Path], Signature]
    signature: Signature
    since: float
    reported: bool = True
    next_look: float = 0.0
    failing: bool = False


class Watcher:
    """Calls `changed(key)` once for every settled change of what is watched. Not thread-safe: callers hold a lock."""

    def __init__(self, *, settle: float, changed: Callable[[str], None], clock: Callable[[], float] = time.monotonic):
        self.settle = settle
        self._changed = changed
        self._clock = clock
        self._watched: dict[str, _Watched] = {}

    def watch_file(self, key: str, path: Path) -> None:
        """Watch the file that a path leads to, through symlinks; it need not be there yet."""
        self._watch(key, path, file_signature)

    def watch_arrival(self, key: str, path: Path) -> None:
        """Watch a file that has only just come, perhaps not all of it: it counts as changed once it has rested."""
        self._watched[key] = _Watched(path, file_signature, file_signature(path), self._clock(), reported=False)

    def watch_tree(self, key: str, root: Path) -> None:
        """Watch every file below a folder."""
        self._watch(key, root, tree_signature)

    def watch_models(self, key: str, root: Path) -> None:
        """Watch which folders of a folder hold a model card or a model, and the cards; not the files beside them."""
        self._watch(key, root, models_signature)

    def keep_only(self, keys: Collection[str]) -> None:
        """Forget everything else."""
        self._watched = {key: watched for key, watched in self._watched.items() if key in keys}

    def unsettled(self, key: str) -> bool:
        """Whether it has changed, looking at it now, and has not rested for long enough since; `poll` reports it."""
        watched = self._watched.get(key)
        if watched is None:
            return False
        self._look(watched)
        return not watched.reported

    def poll(self) -> None:
        """Look at everything once and report what has settled."""
        for key, watched in list(self._watched.items()):
            if self._clock() < watched.next_look and watched.reported:
                continue
            try:
                self._look_and_report(key, watched)
                watched.failing = False
            except OSError as error:
                # One that cannot be looked at or read must not keep the others from being looked at.
                if not watched.failing:
                    _log.error("not watched for now", key=key, path=str(watched.path), reason=str(error))
                watched.failing = True

    def _look_and_report(self, key: str, watched: _Watched) -> None:
        now = self._look(watched)
        # One report may end the watch of another file.
        if key in self._watched and not watched.reported and now - watched.since >= self.settle:
            watched.reported = True
            self._changed(key)

    def _watch(self, key: str, path: Path, look: Callable[[Path], Signature]) -> None:
        known = self._watched.get(key)
        # What is watched already keeps its state: a change that has not settled yet must not be forgotten.
        if known is None or (known.path, known.look) != (path, look):
            self._watched[key] = _Watched(path, look, look(path), self._clock())

    def _look(self, watched: _Watched) -> float:
        before = self._clock()
        signature = watched.look(watched.path)
        after = self._clock()
        watched.next_look = after + (after - before) / BUSY_SHARE
        if signature != watched.signature:
            watched.signature, watched.since, watched.reported = signature, after, False
        return after


def file_signature(path: Path) -> Signature:
    """What changes with a file's content: identity, size and times; None where there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def models_signature(root: Path) -> Signature:
    """What changes with the cards of `<root>/*/` and which of them hold a model; None without a readable folder."""
    try:
        names = sorted(os.listdir(root))  # noqa: PTH208  # names, without a Path for each
    except OSError:
        return None
    # A model without a card is watched as a file of its own, once it is known.
    found = ((name, file_signature(root / name / CARD) or _is_file(root / name / MODEL)) for name in names)
    return tuple(entry for entry in found if entry[1])


def _is_file(path: Path) -> bool:
    # Path's own raises where the folder may not be looked into; one such folder must not hide the others.
    return os.path.isfile(path)  # noqa: PTH113


def tree_signature(root: Path) -> Signature:
    """Numbers that change with any file below a folder, symlinks followed; None where there is no readable folder."""
    try:
        status = root.stat()
        os.scandir(root).close()
    except OSError:
        return None
    files, mixed = 0, 0
    for path, signature in _files(str(root), ((status.st_dev, status.st_ino),)):
        files += 1
        # Order on disk is no content: sums do not depend on it.
        mixed = (mixed + hash((path, signature))) & 0xFFFFFFFFFFFFFFFF
    return files, mixed


def _files(folder: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, Signature]]:
    try:
        with os.scandir(folder) as listing:
            entries = list(listing)
    except OSError:
        return
    for entry in entries:
        try:
            status = entry.stat()
            is_folder = entry.is_dir()
        except OSError:
            yield entry.path, None
            continue
        here = (status.st_dev, status.st_ino)
        if not is_folder:
            yield entry.path, (*here, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        elif here not in above:
            yield from _files(entry.path, (*above, here))

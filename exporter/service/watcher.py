"""Notices changed files by looking at them: renames, symlink swaps and writes in place, on every file system.

A change counts once the file has rested for `settle` seconds, so that a half-written one is left alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

Signature = tuple[object, ...] | None

BUSY_SHARE = 0.05
"""A look at a large dataset takes at most this share of the time: the next one waits accordingly."""


@dataclass(slots=True)
class _Seen:
    signature: Signature
    since: float
    reported: bool
    next_look: float = 0.0


class Watcher:
    """Calls `changed(key)` once for every settled change of what is watched. Not thread-safe: one thread polls."""

    def __init__(self, *, settle: float, changed: Callable[[str], None], clock: Callable[[], float] = time.monotonic):
        self._settle = settle
        self._changed = changed
        self._clock = clock
        self._looks: dict[str, Callable[[], Signature]] = {}
        self._seen: dict[str, _Seen] = {}

    def watch_file(self, key: str, path: Path) -> None:
        """Watch the file that a path leads to, through symlinks; it need not be there yet."""
        self._watch(key, lambda: file_signature(path))

    def watch_tree(self, key: str, root: Path) -> None:
        """Watch every file below a folder."""
        self._watch(key, lambda: tree_signature(root))

    def unsettled(self, key: str) -> bool:
        """Whether a change was seen that has not rested for long enough yet."""
        seen = self._seen.get(key)
        return seen is not None and not seen.reported

    def poll(self) -> None:
        """Look at everything once and report what has settled."""
        for key, look in list(self._looks.items()):
            seen = self._seen[key]
            now = self._clock()
            if now < seen.next_look and seen.reported:
                continue
            signature = look()
            after = self._clock()
            seen.next_look = after + (after - now) / BUSY_SHARE
            if signature != seen.signature:
                seen.signature, seen.since, seen.reported = signature, after, False
            if not seen.reported and after - seen.since >= self._settle:
                seen.reported = True
                self._changed(key)

    def _watch(self, key: str, look: Callable[[], Signature]) -> None:
        self._looks[key] = look
        self._seen[key] = _Seen(look(), self._clock(), reported=True)


def file_signature(path: Path) -> Signature:
    """What changes with a file's content: identity, size and times; None where there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def tree_signature(root: Path) -> Signature:
    """A number that changes with any file below a folder; None where there is no folder."""
    if not root.is_dir():
        return None
    files, mixed = 0, 0
    for entry in _files(root):
        files += 1
        # Order on disk is no content: sums do not depend on it.
        mixed = (mixed + hash((entry.path, _status(entry)))) & 0xFFFFFFFFFFFFFFFF
    return files, mixed


def _status(entry: os.DirEntry[str]) -> Signature:
    try:
        status = entry.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _files(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path)
        else:
            yield entry

"""Activity of a worker process: which files its threads are working on, since when, in a file that its owner reads.

The file survives the process. After a crash it names the files that may have caused it; while the process runs it shows
which file exceeds its time limit, even if C code holds the GIL.
"""

from __future__ import annotations

import math
import mmap
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

Phase = Literal["load", "scan", "decode", "score", "time", "thumbnail", "fetch"]
PHASES: Final[tuple[Phase, ...]] = get_args(Phase)

LOAD_FACTOR: Final = 4
"""Time limit for loading a model, in time limits of an image."""

_SLOTS: Final = 320
"""More than the largest number of threads."""
_SLOT_BYTES: Final = 8 * 1024
"""Space for the longest path. Paths of a batch that do not fit are left out."""
_HEADER: Final = struct.Struct("<IBxxxdI")
"""Counter (odd while the slot is written), phase + 1 (0: unused), start, bytes of the paths."""
_SEPARATOR: Final = b"\0"


@dataclass(frozen=True, slots=True)
class InFlight:
    """What one thread is doing: its phase, the monotonic time at which it started, and the files.

    The phase `load` has no file for the evaluated model, and that of the baseline model otherwise.
    """

    phase: Phase
    since: float
    files: tuple[str, ...]


def time_limit(one: InFlight, image_seconds: float) -> float:
    """Return the seconds that a thread may take: a model is loaded, or all images of a batch are scored, at once.

    A file that is fetched has no limit: a slow server is no property of the file, and requests have their own limits.
    """
    if one.phase == "fetch":
        return math.inf
    return image_seconds * (LOAD_FACTOR if one.phase == "load" else max(1, len(one.files)))


class Activity:
    """Writes the activity of this process; thread-safe. Without a path nothing is written."""

    def __init__(self, path: Path | None = None) -> None:
        """Create the file with all its blocks: writing to a mapped file on a full disk would end the process.

        Raises OSError.
        """
        self._lock = threading.Lock()
        # Taken from the end: a process with few threads uses few slots.
        self._free = list(reversed(range(_SLOTS)))
        self._map: mmap.mmap | None = None
        if path is not None:
            with path.open("wb+") as file:
                os.posix_fallocate(file.fileno(), 0, _SLOTS * _SLOT_BYTES)
                self._map = mmap.mmap(file.fileno(), 0)

    @contextmanager
    def during(self, phase: Phase, *files: str) -> Iterator[None]:
        """Record that the calling thread is working on these files."""
        if self._map is None:
            yield
            return
        with self._lock:
            slot = self._free.pop()
        try:
            self._write(slot, PHASES.index(phase) + 1, files)
            yield
        finally:
            self._write(slot, 0, ())
            with self._lock:
                self._free.append(slot)

    def _write(self, slot: int, phase: int, files: tuple[str, ...]) -> None:
        assert self._map is not None
        start = slot * _SLOT_BYTES
        text = _joined(files)
        counter = _HEADER.unpack_from(self._map, start)[0]
        _HEADER.pack_into(self._map, start, (counter + 1) & 0xFFFFFFFF, 0, 0.0, 0)
        self._map[start + _HEADER.size : start + _HEADER.size + len(text)] = text
        _HEADER.pack_into(self._map, start, (counter + 2) & 0xFFFFFFFF, phase, time.monotonic(), len(text))


NO_ACTIVITY: Final = Activity()


def _joined(files: tuple[str, ...]) -> bytes:
    text = b""
    for file in files:
        longer = text + (_SEPARATOR if text else b"") + file.encode("utf-8", "replace")
        if len(longer) > _SLOT_BYTES - _HEADER.size:
            break
        text = longer
    return text


def read_activity(path: Path) -> list[InFlight]:
    """Return what the threads of a process are doing, or were doing when it ended; empty if there is no file."""
    found: list[InFlight] = []
    try:
        with path.open("rb", buffering=0) as file:
            for slot in range(_SLOTS):
                file.seek(slot * _SLOT_BYTES)
                header = file.read(_HEADER.size)
                if len(header) < _HEADER.size:
                    break
                counter, phase, since, length = _HEADER.unpack(header)
                if counter == 0:
                    # Slots are used in order.
                    break
                text = file.read(length)
                file.seek(slot * _SLOT_BYTES)
                # A slot that changed in the meantime belongs to a thread that makes progress.
                if counter % 2 == 0 and phase and file.read(_HEADER.size) == header:
                    files = tuple(part.decode("utf-8", "replace") for part in text.split(_SEPARATOR)) if text else ()
                    found.append(InFlight(PHASES[phase - 1], since, files))
    except OSError:
        return []
    return found

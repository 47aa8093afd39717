"""Cache decoded images on disk, so that other models do not decode them again.

    <folder>/<decoder version>/<segment>.planes    pixel planes and bytes, memory-mapped
    <folder>/<decoder version>/<segment>.index     one record per image: SHA-256 of its file, offsets, checksums
    <folder>/<decoder version>/<dataset>.run       the segments that the last run of a dataset used
    <folder>/<decoder version>/<process>.contents  hashes of remote files by identity (see `content_index`)

Each process writes its own segments and only reads those of other processes, so no locks are needed. Entries that are
damaged, truncated or written by another decoder version are misses: the image is decoded and written again. A cache
that cannot be read or written costs time, but never changes a result.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Optional

import PIL

import starlight_exporter
from starlight_exporter.dataset.cache_segment import (
    INDEX_SUFFIX,
    LARGEST_IMAGE_BYTES,
    LAYOUT,
    PLANES_SUFFIX,
    Segment,
    SegmentWriter,
    delete_segment,
)
from starlight_exporter.dataset.cache_settings import CacheSettings
from starlight_exporter.detector.compact import CompactImage
from starlight_exporter.errors import StorageError
from starlight_exporter.file_access import read_content
from starlight_exporter.files import write_text

DECODER_VERSION: Final = f"{LAYOUT}-{starlight_exporter.__version__}-pillow{PIL.__version__}"

RUN_SUFFIX: Final = ".run"
"""Names of the segments that the last run of a dataset used."""
_MAX_RUN_BYTES: Final = 1024 * 1024
_SEGMENT_BYTES: Final = 256 * 1024**2
_MIN_SEGMENTS: Final = 16
_MAX_SEGMENTS: Final = 256


@dataclass(frozen=True, slots=True)
class CacheUsage:
    """Hits, images that had to be decoded, and how many of these had a `damaged` entry.

    `bytes` is the final size of the folder; `problem` is the reason why images could not be stored, otherwise None.
    """

    hits: int
    decoded: int
    damaged: int
    bytes: int
    problem: str | None


_Entry = tuple[Segment, int, Optional["_Entry"]]
"""A segment, the record in it, and an alternative entry of the same image in case this one is damaged."""


class StreamCache:
    """The cache of one process. `get` and `put` are thread-safe.

    Creating it never fails: if the folder cannot be used, `problem` is the reason, and images are not found or stored.
    Segments with images of this run are not evicted, nor those that the last run of the same `dataset` used: which
    images a run needs is known only once it has read them.
    """

    def __init__(self, settings: CacheSettings, dataset: str = "") -> None:
        self._settings = settings
        self._dataset = dataset
        self._folder = settings.folder / DECODER_VERSION
        self._segment_bytes = min(_SEGMENT_BYTES, max(1, settings.max_bytes // _MIN_SEGMENTS))
        self._entries: dict[bytes, _Entry] = {}
        self._segments: list[Segment] = []
        self._writer: SegmentWriter | None = None
        self._lock = threading.Lock()
        self._hits = self._decoded = self._damaged = 0
        self._used_bytes = 0
        self.problem: str | None = None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._give_up(error)
        self._load()
        self._protect_last_run()

    def __contains__(self, sha256: str) -> bool:
        """Return whether the image of a file with this SHA-256 is stored, possibly damaged."""
        return bytes.fromhex(sha256) in self._entries

    def get(self, sha256: str) -> CompactImage | None:
        """Return the image whose file has this SHA-256 (hexadecimal), or None if it is not stored undamaged."""
        entry = self._entries.get(bytes.fromhex(sha256))
        known, image = entry is not None, None
        while entry is not None and image is None:
            segment, row, entry = entry
            image = segment.image(row)
            # Damaged ones too: their images are needed.
            segment.protected = segment.used = True
        with self._lock:
            if image is not None:
                self._hits += 1
            elif known:
                self._damaged += 1
        return image

    def put(self, sha256: str, image: CompactImage) -> None:
        """Store an image. If that is not possible, set `problem` instead."""
        with self._lock:
            self._decoded += 1
            if self.problem is not None:
                return
            try:
                writer = self._writer_with_space()
                if writer is not None:
                    self._used_bytes += writer.append(bytes.fromhex(sha256), image)
            except OSError as error:
                self._give_up(error)

    def publish(self) -> CacheUsage:
        """Make stored images available to `get`, mark used segments as recently used, and return the usage."""
        with self._lock:
            self._finish_segment()
            for segment in self._segments:
                if segment.used:
                    with suppress(OSError):
                        os.utime(segment.path.with_suffix(INDEX_SUFFIX))
            self._remember_run()
            size = folder_bytes(self._settings.folder)
            return CacheUsage(self._hits, self._decoded, self._damaged, size, self.problem)

    def _load(self) -> None:
        try:
            paths = sorted(self._folder.glob(f"*{PLANES_SUFFIX}"), key=lambda path: path.stat().st_size, reverse=True)
        except OSError as error:
            self._give_up(error)
            return
        self._used_bytes = folder_bytes(self._settings.folder)
        for path in paths[_MAX_SEGMENTS:]:
            # Many small segments would exhaust the open files of the process. Their images are stored again together.
            with suppress(OSError):
                delete_segment(path)
        for path in paths[:_MAX_SEGMENTS]:
            # An unreadable segment is ignored.
            with suppress(OSError, ValueError):
                self._add(Segment(path))

    def _protect_last_run(self) -> None:
        """Protect the segments that the last run of this dataset used."""
        try:
            content = read_content(self._run_file(), max_bytes=_MAX_RUN_BYTES).data
            names = set(content.decode("ascii").split())
        except (OSError, ValueError):
            return
        for segment in self._segments:
            segment.protected = segment.path.name in names

    def _remember_run(self) -> None:
        names = sorted(segment.path.name for segment in self._segments if segment.used)
        with suppress(StorageError):
            write_text(self._run_file(), "\n".join(names))

    def _run_file(self) -> Path:
        return self._folder / f"{hashlib.sha256(self._dataset.encode('utf-8', 'replace')).hexdigest()[:16]}{RUN_SUFFIX}"

    def _add(self, segment: Segment) -> None:
        self._segments.append(segment)
        for row in range(len(segment)):
            key = segment.key(row)
            self._entries[key] = (segment, row, self._entries.get(key))

    def _writer_with_space(self) -> SegmentWriter | None:
        """Return the segment to write to, or None if the size limit is reached."""
        if self._writer is not None and self._writer.bytes >= self._segment_bytes:
            self._finish_segment()
        if self._writer is None:
            self._used_bytes = folder_bytes(self._settings.folder)
        while self._used_bytes + LARGEST_IMAGE_BYTES > self._settings.max_bytes:
            if not self._evict_oldest():
                self.problem = f"{self._settings.folder}: all of its {self._settings.max_bytes} bytes are in use"
                return None
        if self._writer is None:
            self._writer = SegmentWriter(self._folder / f"{secrets.token_hex(8)}{PLANES_SUFFIX}")
        return self._writer

    def _finish_segment(self) -> None:
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        try:
            segment = Segment(writer.path)
        except (OSError, ValueError):
            # Deleted by another process in the meantime.
            return
        finally:
            writer.close()
        segment.protected = segment.used = True
        self._add(segment)

    def _evict_oldest(self) -> bool:
        """Delete the least recently used segment that this run does not need. Return False if there is none."""
        protected = {segment.path for segment in self._segments if segment.protected}
        if self._writer is not None:
            protected.add(self._writer.path)
        oldest: tuple[float, Path] | None = None
        for path in self._settings.folder.glob(f"*/*{PLANES_SUFFIX}"):
            with suppress(OSError):
                index = path.with_suffix(INDEX_SUFFIX)
                used_at = (index if index.exists() else path).stat().st_mtime
                if path.parent != self._folder:
                    # Segments of other decoder versions are evicted first.
                    used_at = 0.0
                if path not in protected and (oldest is None or used_at < oldest[0]):
                    oldest = (used_at, path)
        if oldest is None:
            return False
        delete_segment(oldest[1])
        self._used_bytes = folder_bytes(self._settings.folder)
        return True

    def _give_up(self, error: OSError) -> None:
        if self.problem is None:
            self.problem = f"{self._settings.folder}: {error.strerror or error}"


def index_folder(settings: CacheSettings) -> Path:
    """Return the folder of the ContentIndex that belongs to a cache."""
    return settings.folder / DECODER_VERSION


def folder_bytes(folder: Path) -> int:
    """Return the size of a cache."""
    total = 0
    for path in folder.glob("*/*"):
        # Another process may delete files in the meantime.
        with suppress(OSError):
            total += path.stat().st_size
    return total

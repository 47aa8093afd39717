"""Decoded images on disk, so that the next model does not decode them again: content-addressed, checked, bounded.

    <folder>/<decoder version>/<segment>.planes    pixel planes and bytes, read through memory maps
    <folder>/<decoder version>/<segment>.index     one record per image: SHA-256 of its file, places, checksums

Every process appends to a segment of its own and only reads those of others, so that none needs a lock. A record is
written after what it points to; both carry checksums. What is damaged, cut short, unknown or made by another decoder
is a miss: the image is decoded again and written anew. A cache that cannot be read or written costs time, never a
number.
"""

from __future__ import annotations

import mmap
import os
import secrets
import threading
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Optional

import numpy as np
import PIL
from numpy.typing import NDArray

import starlight_exporter
from starlight_exporter.dataset.cache_settings import CacheSettings
from starlight_exporter.detector.compact import DIGEST_BYTES, CompactImage
from starlight_exporter.detector.contract import CROP, FORMATS, STREAMS, ImageFormat

LAYOUT: Final = 4
"""Raised whenever records, or what is kept of an image, change."""
DECODER_VERSION: Final = f"{LAYOUT}-{starlight_exporter.__version__}-pillow{PIL.__version__}"

_SEGMENT_BYTES: Final = 256 * 1024**2
_SEGMENTS_AT_LEAST: Final = 16
_MOST_SEGMENTS: Final = 256
_ALIGNMENT: Final = 64
_PLANES: Final = ".planes"
_INDEX: Final = ".index"
_FORMATS: Final[tuple[ImageFormat, ...]] = (*FORMATS, "other")
_RGB_BYTES: Final = 3 * CROP * CROP
_ALPHA_BYTES: Final = CROP * CROP
_LUMA_BYTES: Final = CROP * CROP // 8

# One part of an image: where it is, how long it is (0: the image has none), and its checksum.
_PART: Final = np.dtype([("offset", "<u8"), ("length", "<u4"), ("crc", "<u4")])
_PARTS: Final = ("rgb", "alpha", "luma", "palette", "meta")
_RECORD: Final = np.dtype(
    [
        ("sha256", "u1", (32,)),
        ("width", "<u4"),
        ("height", "<u4"),
        ("format", "<u4"),
        ("mode", "S16"),
        ("exif_bytes", "<u8"),
        ("tail_bytes", "<u8"),
        ("parts", _PART, (len(_PARTS),)),
        ("features", "<f4", (12,)),
        ("digests", "u1", (len(STREAMS), DIGEST_BYTES)),
        ("crc", "<u4"),
    ]
)


@dataclass(frozen=True, slots=True)
class CacheUse:
    """What a cache was good for: images found, images that had to be decoded (`damaged`: though there was an entry).

    `bytes` is what the folder held in the end; `problem` says in one line why nothing could be kept, None if it could.
    """

    found: int
    decoded: int
    damaged: int
    bytes: int
    problem: str | None


class StreamCache:
    """The cache of one process; `get` and `put` may be called from several threads at once.

    Opening never fails: `problem` says what is wrong with the folder, and images are then simply not found or not kept.
    """

    def __init__(self, settings: CacheSettings) -> None:
        self._settings = settings
        self._folder = settings.folder / DECODER_VERSION
        self._segment_bytes = min(_SEGMENT_BYTES, max(1, settings.max_bytes // _SEGMENTS_AT_LEAST))
        self._entries: dict[bytes, _Entry] = {}
        self._segments: list[_Segment] = []
        self._writer: _Writer | None = None
        self._lock = threading.Lock()
        self._found = self._decoded = self._damaged = 0
        self._used_bytes = 0
        self.problem: str | None = None
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._give_up(error)
        self._load()

    def expect(self, sha256s: Iterable[str]) -> None:
        """Say which images will be asked for, so that room is not made by dropping them."""
        for sha256 in sha256s:
            entry = self._entries.get(_key(sha256))
            while entry is not None:
                segment, _, entry = entry
                segment.wanted = True

    def get(self, sha256: str) -> CompactImage | None:
        """The image whose file has this SHA-256 (hexadecimal), checked; None where there is none to be trusted."""
        key = _key(sha256)
        entry = self._entries.get(key)
        known, image = entry is not None, None
        while entry is not None and image is None:
            segment, row, entry = entry
            image = segment.image(row)
        with self._lock:
            if image is not None:
                self._found += 1
            elif known:
                self._damaged += 1
        return image

    def put(self, sha256: str, image: CompactImage) -> None:
        """Keep an image. Where there is no room or no permission it is not kept, and `problem` says so."""
        with self._lock:
            self._decoded += 1
            if self.problem is not None:
                return
            try:
                writer = self._with_room()
                if writer is not None:
                    self._used_bytes += writer.append(_key(sha256), image)
            except OSError as error:
                self._give_up(error)

    def publish(self) -> CacheUse:
        """Make what was put so far available to `get`, mark what was used as recently used, and tell what it did."""
        with self._lock:
            self._finish_segment()
            for segment in self._segments:
                if segment.wanted:
                    with suppress(OSError):
                        os.utime(segment.path.with_suffix(_INDEX))
            held = _folder_bytes(self._settings.folder)
            return CacheUse(self._found, self._decoded, self._damaged, held, self.problem)

    def _load(self) -> None:
        try:
            paths = sorted(self._folder.glob(f"*{_PLANES}"), key=lambda path: path.stat().st_size, reverse=True)
        except OSError as error:
            self._give_up(error)
            return
        self._used_bytes = _folder_bytes(self._settings.folder)
        for path in paths[_MOST_SEGMENTS:]:
            # Many small additions would use up the process's open files; together they make one new segment.
            with suppress(OSError):
                _drop(path)
        for path in paths[:_MOST_SEGMENTS]:
            # One that cannot be read is as good as none.
            with suppress(OSError, ValueError):
                self._add(_Segment(path))

    def _add(self, segment: _Segment) -> None:
        self._segments.append(segment)
        for row in range(len(segment.records)):
            key = segment.key(row)
            self._entries[key] = (segment, row, self._entries.get(key))

    def _with_room(self) -> _Writer | None:
        """The segment to write to, None where the limit leaves no room."""
        if self._writer is not None and self._writer.bytes >= self._segment_bytes:
            self._finish_segment()
        if self._writer is None:
            self._used_bytes = _folder_bytes(self._settings.folder)
        while self._used_bytes + _RGB_BYTES + _ALPHA_BYTES > self._settings.max_bytes:
            if not self._drop_oldest():
                self.problem = f"{self._settings.folder}: all of its {self._settings.max_bytes} bytes are in use"
                return None
        if self._writer is None:
            self._writer = _Writer(self._folder / f"{secrets.token_hex(8)}{_PLANES}")
        return self._writer

    def _finish_segment(self) -> None:
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        try:
            segment = _Segment(writer.path)
        except (OSError, ValueError):
            # Dropped by another process meanwhile: as if it had never been written.
            return
        finally:
            writer.close()
        segment.wanted = True
        self._add(segment)

    def _drop_oldest(self) -> bool:
        """Delete what was not used for longest, and nothing that this run needs; False where there is no such thing."""
        wanted = {segment.path for segment in self._segments if segment.wanted}
        if self._writer is not None:
            wanted.add(self._writer.path)
        oldest: tuple[float, Path] | None = None
        for path in self._settings.folder.glob(f"*/*{_PLANES}"):
            with suppress(OSError):
                index = path.with_suffix(_INDEX)
                age = (index if index.exists() else path).stat().st_mtime
                if path.parent != self._folder:
                    age = 0.0
                if path not in wanted and (oldest is None or age < oldest[0]):
                    oldest = (age, path)
        if oldest is None:
            return False
        _drop(oldest[1])
        self._used_bytes = _folder_bytes(self._settings.folder)
        return True

    def _give_up(self, error: OSError) -> None:
        if self.problem is None:
            self.problem = f"{self._settings.folder}: {error.strerror or error}"


class _Segment:
    """A finished segment (or what there is of one that another process still writes), mapped into memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wanted = False
        content = path.with_suffix(_INDEX).read_bytes()
        whole = len(content) // _RECORD.itemsize * _RECORD.itemsize
        self.records: NDArray[Any] = np.frombuffer(content[:whole], _RECORD)
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._size = len(self._map)
        self._sound: set[int] = set()

    def key(self, row: int) -> bytes:
        return bytes(self.records[row]["sha256"])

    def image(self, row: int) -> CompactImage | None:
        """The image of a record, None if anything about it is not as it was written."""
        record = self.records[row]
        # Reading a mapped page behind the end of a file would end the process.
        if zlib.crc32(record.tobytes()[:-4]) != record["crc"] or self._map.size() < self._size:
            return None
        rgb, alpha, luma, palette, meta = (self._part(*place) for place in record["parts"].tolist())
        if rgb is None or alpha is None or luma is None or palette is None or meta is None:
            return None
        digests = record["digests"].tobytes()
        return CompactImage(
            image_format=_FORMATS[record["format"]],
            width=int(record["width"]),
            height=int(record["height"]),
            rgb=rgb.reshape(3, CROP, CROP),
            alpha=alpha.reshape(CROP, CROP) if alpha.size else None,
            luma_bits=luma if luma.size else None,
            palette=palette.tobytes(),
            meta=meta.tobytes(),
            features=record["features"],
            digests={stream: digests[at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES] for at, stream in enumerate(STREAMS)},
            mode=record["mode"].decode("ascii"),
            exif_bytes=int(record["exif_bytes"]),
            tail_bytes=int(record["tail_bytes"]),
        )

    def _part(self, offset: int, length: int, crc: int) -> NDArray[np.uint8] | None:
        if offset + length > self._size:
            return None
        content = np.frombuffer(self._map, np.uint8, length, offset)
        if offset not in self._sound:
            if zlib.crc32(content.data) != crc:
                return None
            if length >= _LUMA_BYTES:
                # Planes, which images share: nobody writes to one that is there.
                self._sound.add(offset)
        return content


_Entry = tuple[_Segment, int, Optional["_Entry"]]
"""A segment, the record in it, and another place that has the same image: one of them may be damaged."""


class _Writer:
    """A segment that grows. Planes with equal content, as covers and their stego files have, are written once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = 0
        self._planes = path.open("xb", buffering=0)
        try:
            self._index = path.with_suffix(_INDEX).open("xb", buffering=0)
        except OSError:
            self._planes.close()
            raise
        self._places: dict[tuple[str, bytes], tuple[int, int, int]] = {}

    def append(self, key: bytes, image: CompactImage) -> int:
        """Write an image; returns the bytes that it took."""
        record = np.zeros((), _RECORD)
        record["sha256"] = np.frombuffer(key, np.uint8)
        record["width"], record["height"] = image.width, image.height
        record["format"] = _FORMATS.index(image.image_format)
        record["mode"] = image.mode.encode("ascii")
        record["exif_bytes"], record["tail_bytes"] = image.exif_bytes, image.tail_bytes
        before = self.bytes
        record["parts"] = [
            self._place("rgb", image.digests["pixel"], image.rgb),
            self._place("alpha", image.digests["alpha"], image.alpha),
            self._place("luma", image.digests["palette_lsb"], image.luma_bits),
            self._write(image.palette),
            self._write(image.meta),
        ]
        record["features"] = image.features
        record["digests"] = np.frombuffer(b"".join(image.digests[stream] for stream in STREAMS), np.uint8).reshape(
            len(STREAMS), DIGEST_BYTES
        )
        record["crc"] = zlib.crc32(record.tobytes()[:-4])
        _write_all(self._index.fileno(), record.tobytes())
        return self.bytes - before + _RECORD.itemsize

    def close(self) -> None:
        self._planes.close()
        self._index.close()

    def _place(self, name: str, digest: bytes, plane: NDArray[np.uint8] | None) -> tuple[int, int, int]:
        if plane is None:
            return (0, 0, 0)
        known = self._places.get((name, digest))
        if known is None:
            known = self._places[name, digest] = self._write(plane.tobytes())
        return known

    def _write(self, content: bytes) -> tuple[int, int, int]:
        if not content:
            return (0, 0, 0)
        offset = self.bytes
        padded = content.ljust(-(-len(content) // _ALIGNMENT) * _ALIGNMENT, b"\0")
        _write_all(self._planes.fileno(), padded)
        self.bytes += len(padded)
        return (offset, len(content), zlib.crc32(content))


def _drop(path: Path) -> None:
    # A process that has it open goes on with it.
    path.with_suffix(_INDEX).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _key(sha256: str) -> bytes:
    return bytes.fromhex(sha256)


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _folder_bytes(folder: Path) -> int:
    total = 0
    for path in folder.glob("*/*"):
        # Another process may just have dropped it.
        with suppress(OSError):
            total += path.stat().st_size
    return total

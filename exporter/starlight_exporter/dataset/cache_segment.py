"""Segments of the image cache: a file of pixel planes and an index with one record per image.

Both are append-only. A record is written after the data that it refers to, and both have checksums, so that a segment
can be read while another process writes it or after a crash.
"""

from __future__ import annotations

import mmap
import os
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.detector.arrays import ByteArray
from starlight_exporter.detector.compact import DIGEST_BYTES, CompactImage
from starlight_exporter.detector.contract import CROP, FORMATS, STREAMS, ImageFormat
from starlight_exporter.file_access import open_regular, read_content

LAYOUT: Final = 5
"""Increment when the records, the stored parts of an image or the results of decoding change."""
PLANES_SUFFIX: Final = ".planes"
INDEX_SUFFIX: Final = ".index"
LARGEST_IMAGE_BYTES: Final = 4 * CROP * CROP
"""Bytes of the planes of an image (RGB and alpha)."""

_ALIGNMENT: Final = 64
_MAX_INDEX_BYTES: Final = 1024**3
_FORMATS: Final[tuple[ImageFormat, ...]] = (*FORMATS, "other")
_LUMA_BYTES: Final = CROP * CROP // 8

# One part of an image: its offset, length (0 if the image does not have it) and checksum.
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


class Segment:
    """A memory-mapped segment, possibly one that another process is still writing. Raises OSError or ValueError.

    `protected` segments contain images of the current run or of the last one, and are not evicted; `used` segments
    contain images of the current run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.protected = self.used = False
        content = read_content(path.with_suffix(INDEX_SUFFIX), max_bytes=_MAX_INDEX_BYTES).data
        complete = len(content) // _RECORD.itemsize * _RECORD.itemsize
        self._records: NDArray[Any] = np.frombuffer(content[:complete], _RECORD)
        with open_regular(path) as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._size = len(self._map)
        self._verified: set[int] = set()

    def __len__(self) -> int:
        return len(self._records)

    def key(self, row: int) -> bytes:
        """Return the SHA-256 of the image file of a record."""
        return bytes(self._records[row]["sha256"])

    def image(self, row: int) -> CompactImage | None:
        """Return the image of a record, or None if the record or its data is damaged."""
        record = self._records[row]
        # Reading a mapped page beyond the end of a truncated file would crash the process.
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

    def _part(self, offset: int, length: int, crc: int) -> ByteArray | None:
        if offset + length > self._size:
            return None
        content = np.frombuffer(self._map, np.uint8, length, offset)
        if offset not in self._verified:
            if zlib.crc32(content.data) != crc:
                return None
            if length >= _LUMA_BYTES:
                # Planes are shared by images and never rewritten, so one check is enough.
                self._verified.add(offset)
        return content


class SegmentWriter:
    """A new segment. Planes with equal content, as in covers and their stego files, are written once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes = 0
        self._planes = path.open("xb", buffering=0)
        try:
            self._index = path.with_suffix(INDEX_SUFFIX).open("xb", buffering=0)
        except OSError:
            self._planes.close()
            raise
        self._written: dict[tuple[str, bytes], tuple[int, int, int]] = {}

    def append(self, key: bytes, image: CompactImage) -> int:
        """Write an image and return the number of bytes written."""
        record = np.zeros((), _RECORD)
        record["sha256"] = np.frombuffer(key, np.uint8)
        record["width"], record["height"] = image.width, image.height
        record["format"] = _FORMATS.index(image.image_format)
        record["mode"] = image.mode.encode("ascii")
        record["exif_bytes"], record["tail_bytes"] = image.exif_bytes, image.tail_bytes
        before = self.bytes
        record["parts"] = [
            self._write_plane("rgb", image.digests["pixel"], image.rgb),
            self._write_plane("alpha", image.digests["alpha"], image.alpha),
            self._write_plane("luma", image.digests["palette_lsb"], image.luma_bits),
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
        """Close both files."""
        self._planes.close()
        self._index.close()

    def _write_plane(self, name: str, digest: bytes, plane: ByteArray | None) -> tuple[int, int, int]:
        if plane is None:
            return (0, 0, 0)
        place = self._written.get((name, digest))
        if place is None:
            place = self._written[name, digest] = self._write(plane.tobytes())
        return place

    def _write(self, content: bytes) -> tuple[int, int, int]:
        if not content:
            return (0, 0, 0)
        offset = self.bytes
        padded = content.ljust(-(-len(content) // _ALIGNMENT) * _ALIGNMENT, b"\0")
        _write_all(self._planes.fileno(), padded)
        self.bytes += len(padded)
        return (offset, len(content), zlib.crc32(content))


def delete_segment(path: Path) -> None:
    """Delete a segment. Processes that have mapped it can continue to read it."""
    path.with_suffix(INDEX_SUFFIX).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]

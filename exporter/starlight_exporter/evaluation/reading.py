"""A dataset's files as bytes and as decoded images: held against what the scan saw, and against what one may cost."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import TypeVar

from starlight_exporter.dataset.cache import StreamCache
from starlight_exporter.dataset.dataset import LabelledFile
from starlight_exporter.detector.compact import CompactImage, compact
from starlight_exporter.detector.streams import decode
from starlight_exporter.errors import ImageError
from starlight_exporter.evaluation.request import RunLimits

LARGE_PIXELS = 4 * 1024 * 1024
LARGE_FILE_BYTES = 8 * 1024 * 1024

_Result = TypeVar("_Result")


class Reader:
    """Files of one dataset; may be used from several threads at once.

    Large pictures are taken one at a time, whatever the number of threads: this bounds a process's memory.
    """

    def __init__(self, root: Path, limits: RunLimits) -> None:
        self._root = root
        self._limits = limits
        self._large = threading.Lock()

    def admit(self, file: LabelledFile) -> None:
        """ImageError `too_large` for a file of more bytes than are read."""
        if file.size_bytes > self._limits.max_file_bytes:
            raise ImageError(
                f"{file.size_bytes} bytes, at most {self._limits.max_file_bytes} are read", reason="too_large"
            )

    def bounded(self, file: LabelledFile, work: Callable[[int], _Result]) -> _Result:
        """What `work` makes of a file, given the most pixels that it may decode; ImageError `too_large` otherwise."""
        self.admit(file)
        if file.size_bytes <= LARGE_FILE_BYTES:
            at_once = min(LARGE_PIXELS, self._limits.max_pixels)
            try:
                return work(at_once)
            except ImageError as error:
                if error.reason != "too_large" or at_once == self._limits.max_pixels:
                    raise
        with self._large:
            return work(self._limits.max_pixels)

    def read(self, file: LabelledFile) -> bytes:
        """The file's bytes; ImageError `unreadable` where there are none, or not as many as the scan saw."""
        try:
            with (self._root / file.path).open("rb", buffering=0) as handle:
                # One byte more than the scan saw tells that the file has grown, without reading all of it.
                data = handle.read(file.size_bytes + 1)
        except OSError as error:
            raise ImageError(f"cannot be read: {error.strerror or error}", reason="unreadable") from error
        if len(data) != file.size_bytes:
            raise ImageError("changed its size since the dataset was scanned", reason="unreadable")
        return data


class ImageSource:
    """Decoded images of one dataset, out of the cache where it has them; may be used from several threads at once.

    An image out of the cache is that of the content which the scan saw, whatever has become of the file meanwhile.
    """

    def __init__(self, root: Path, limits: RunLimits, cache: StreamCache | None = None) -> None:
        self._reader = Reader(root, limits)
        self._limits = limits
        self._cache = cache

    def image(self, file: LabelledFile) -> CompactImage:
        """The image of a file; ImageError with the reason why there is none."""
        return self.timed(file)[0]

    def timed(self, file: LabelledFile) -> tuple[CompactImage, float]:
        """The same with the seconds that it took, without those that it waited for other large pictures."""
        self._reader.admit(file)
        start = perf_counter()
        image = None if self._cache is None else self._cache.get(file.sha256)
        if image is None:
            return self._reader.bounded(file, lambda max_pixels: self._decoded(file, max_pixels))
        if image.width * image.height > self._limits.max_pixels:
            raise ImageError(
                f"{image.width}×{image.height} pixels, more than the limit of {self._limits.max_pixels}",
                reason="too_large",
            )
        return image, perf_counter() - start

    def _decoded(self, file: LabelledFile, max_pixels: int) -> tuple[CompactImage, float]:
        start = perf_counter()
        data = self._reader.read(file)
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise ImageError("changed since the dataset was scanned", reason="unreadable")
        decoded = decode(data, max_pixels=max_pixels)
        del data
        image = compact(decoded)
        seconds = perf_counter() - start
        # What took too long would look fast the next time.
        if self._cache is not None and seconds <= self._limits.image_seconds:
            self._cache.put(file.sha256, image)
        return image, seconds

"""Images of a dataset: read and decode files within limits, through the cache of decoded images."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter
from typing import Final

from starlight_exporter.activity import NO_ACTIVITY, Activity
from starlight_exporter.dataset.cache import StreamCache
from starlight_exporter.dataset.cache_settings import CacheSettings
from starlight_exporter.dataset.dataset import LabelledFile
from starlight_exporter.detector.compact import CompactImage, compact
from starlight_exporter.detector.decoding import decode, read_header
from starlight_exporter.errors import ImageError
from starlight_exporter.evaluation.byte_budget import ByteBudget
from starlight_exporter.evaluation.request import FileFault, RunLimits
from starlight_exporter.file_access import open_regular

LARGE_FILE_BYTES: Final = 8 * 1024 * 1024
"""Larger files are read one at a time, because they are in memory before their header is known."""


def open_cache(settings: CacheSettings | None, files: Iterable[LabelledFile]) -> StreamCache | None:
    """Open the cache of decoded images for these files; return None without settings."""
    if settings is None:
        return None
    cache = StreamCache(settings)
    cache.protect(file.sha256 for file in files if file.problem is None)
    return cache


class FileReader:
    """Read files of one dataset within limits; thread-safe."""

    def __init__(self, root: Path, limits: RunLimits) -> None:
        self._root = root
        self._limits = limits

    def check_size(self, file: LabelledFile) -> None:
        """Raise ImageError `too_large` if the file exceeds the limit in bytes."""
        if file.size_bytes > self._limits.max_file_bytes:
            raise ImageError(
                f"{file.size_bytes} bytes, at most {self._limits.max_file_bytes} are read", reason="too_large"
            )

    def read(self, file: LabelledFile) -> bytes:
        """Return the content of a file. Raise ImageError `unreadable` if its size has changed since the scan."""
        try:
            with open_regular(self._root / file.path, root=self._root) as handle:
                # One more byte than expected detects a file that has grown, without reading all of it.
                data = handle.read(file.size_bytes + 1)
        except OSError as error:
            raise ImageError(f"cannot be read: {error.strerror or error}", reason="unreadable") from error
        if len(data) != file.size_bytes:
            raise ImageError("changed its size since the dataset was scanned", reason="unreadable")
        return data


class ImageSource:
    """Decoded images of one dataset, from the cache if possible; thread-safe.

    Every image has the content that the scan hashed, even if the file has changed since. The files of `faults` are not
    opened.
    """

    def __init__(
        self,
        root: Path,
        limits: RunLimits,
        cache: StreamCache | None = None,
        *,
        faults: Iterable[FileFault] = (),
        activity: Activity = NO_ACTIVITY,
    ) -> None:
        self._reader = FileReader(root, limits)
        self._limits = limits
        self._cache = cache
        # An image whose thumbnail failed can be measured.
        self._faults = {fault.path: fault for fault in faults if fault.phase != "thumbnail"}
        self._activity = activity
        self._budget = ByteBudget(limits.decode_bytes)
        self._large = threading.Lock()

    def image(self, file: LabelledFile) -> CompactImage:
        """Return the decoded image of a file. Raise ImageError if it cannot be used."""
        return self.timed(file)[0]

    def timed(self, file: LabelledFile) -> tuple[CompactImage, float]:
        """Return the decoded image and the seconds spent on it, without waiting for other images."""
        self._reader.check_size(file)
        fault = self._faults.get(file.path)
        if fault is not None:
            raise ImageError(fault.detail.removeprefix(f"{file.path}: "), reason=fault.reason)
        start = perf_counter()
        image = None if self._cache is None else self._cache.get(file.sha256)
        if image is None:
            return self._decoded(file)
        if image.width * image.height > self._limits.max_pixels:
            raise ImageError(
                f"{image.width}×{image.height} pixels, more than the limit of {self._limits.max_pixels}",
                reason="too_large",
            )
        return image, perf_counter() - start

    def _decoded(self, file: LabelledFile) -> tuple[CompactImage, float]:
        with self._large if file.size_bytes > LARGE_FILE_BYTES else nullcontext():
            with self._activity.during("decode", file.path):
                start = perf_counter()
                data = self._reader.read(file)
                if hashlib.sha256(data).hexdigest() != file.sha256:
                    raise ImageError("changed since the dataset was scanned", reason="unreadable")
                header = read_header(data, max_pixels=self._limits.max_pixels)
                seconds = perf_counter() - start
            estimate = file.size_bytes + header.estimated_bytes
            with self._budget.admitted(estimate), self._activity.during("decode", file.path):
                start = perf_counter()
                image = compact(decode(data, max_pixels=self._limits.max_pixels))
                del data
                seconds += perf_counter() - start
        # An image that exceeds the time limit must do so in the next run as well.
        if self._cache is not None and seconds <= self._limits.image_seconds:
            self._cache.put(file.sha256, image)
        return image, seconds

"""Decode images within limits, through the cache of decoded images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter

from starlight_exporter.activity import NO_ACTIVITY, Activity
from starlight_exporter.dataset.cache import StreamCache
from starlight_exporter.dataset.dataset import FileFault
from starlight_exporter.dataset.shard_reader import ReadFile
from starlight_exporter.detector.compact import CompactImage, compact
from starlight_exporter.detector.decoding import decode, read_header
from starlight_exporter.errors import ImageError
from starlight_exporter.evaluation.byte_budget import ByteBudget
from starlight_exporter.evaluation.request import RunLimits


@dataclass(slots=True)
class Tally:
    """Number of images that came from the cache."""

    cached: int = 0


def unread(_read: ReadFile) -> bytes:
    """Raise ImageError for a file that was not read."""
    raise ImageError("was not read", reason="unreadable")


class ImageDecoder:
    """Decodes files that were read, or returns their images from the cache. Thread-safe.

    The files of `faults` are not decoded. `content` reads a file whose content is known, but was not read.
    """

    def __init__(
        self,
        limits: RunLimits,
        cache: StreamCache | None = None,
        *,
        content: Callable[[ReadFile], bytes] = unread,
        faults: Sequence[FileFault] = (),
        activity: Activity = NO_ACTIVITY,
    ) -> None:
        self._limits = limits
        self._cache = cache
        self._content = content
        self._faults = tuple(faults)
        self._activity = activity
        self._budget = ByteBudget(limits.decode_bytes)

    def decoded(
        self, read: ReadFile, faults: Sequence[FileFault] = (), tally: Tally | None = None
    ) -> tuple[CompactImage, float]:
        """Return the image of a file and the seconds spent on it, without waiting for other images.

        Raise ImageError if it cannot be used; its text does not name the file.
        """
        file, data = read.file, read.data
        for fault in (*self._faults, *faults):
            # An image whose thumbnail failed can be measured.
            if fault.path == file.path and fault.phase != "thumbnail":
                raise ImageError(fault.detail.removeprefix(f"{file.path}: "), reason=fault.reason)
        start = perf_counter()
        image = None if self._cache is None else self._cache.get(file.sha256)
        if image is None:
            # Not read, because its image seemed to be in the cache.
            image, seconds = self._decode(file.path, self._content(read) if data is None else data)
            seconds += read.seconds
            # An image that exceeds the time limit must do so in the next run as well.
            if self._cache is not None and seconds <= self._limits.image_seconds:
                self._cache.put(file.sha256, image)
            return image, seconds
        if tally is not None:
            tally.cached += 1
        if image.width * image.height > self._limits.max_pixels:
            raise ImageError(
                f"{image.width}×{image.height} pixels, more than the limit of {self._limits.max_pixels}",
                reason="too_large",
            )
        return image, read.seconds + perf_counter() - start

    def _decode(self, path: str, data: bytes) -> tuple[CompactImage, float]:
        start = perf_counter()
        with self._activity.during("decode", path):
            header = read_header(data, max_pixels=self._limits.max_pixels)
        seconds = perf_counter() - start
        with self._budget.admitted(len(data) + header.estimated_bytes), self._activity.during("decode", path):
            start = perf_counter()
            image = compact(decode(data, max_pixels=self._limits.max_pixels))
            return image, seconds + perf_counter() - start

"""Read the content of objects: as a file, or as parts of it that are read together and ahead."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from starlight_exporter.dataset.found_files import FoundFile
from starlight_exporter.dataset.sources.base import Read, too_large
from starlight_exporter.dataset.sources.placed import HEADER_BYTES, is_header_of, other_file
from starlight_exporter.dataset.sources.store import Pending, Store, StoredObject, start_range
from starlight_exporter.detector.format_signatures import SIGNATURE_BYTES
from starlight_exporter.errors import ImageError

TOGETHER_BYTES: Final = 4 * 1024 * 1024
"""Neighbouring files of at most this size are read by one request."""
MAX_GAP_BYTES: Final = 64 * 1024
"""Bytes between two files that are read and dropped rather than requested separately."""
AHEAD_BYTES: Final = 32 * 1024 * 1024
"""Bytes that are requested ahead by one reader, apart from a single larger file."""


class RangeFile(io.RawIOBase):
    """An object as a file that can be read from any position, with a buffer of `buffer_bytes` after it.

    Raise OSError where the store raises ImageError, for libraries that read files.
    """

    def __init__(self, store: Store, stored: StoredObject, *, buffer_bytes: int) -> None:
        self._store = store
        self._stored = stored
        self._buffer_bytes = buffer_bytes
        self._position = 0
        self._buffer = b""
        self._buffer_start = 0
        self._kept: list[tuple[int, bytes]] = []

    def keep(self, ranges: Sequence[tuple[int, int]]) -> list[memoryview]:
        """Read ranges (start, size) at the same time, and return their content.

        They stay in memory until the next call, so that reading them again is no request. Ranges that follow each other
        are one request.
        """
        self._kept = []
        joined: list[tuple[int, int]] = []
        for start, size in ranges:
            if joined and sum(joined[-1]) == start:
                start, size = joined[-1][0], joined.pop()[1] + size  # noqa: PLW2901
            joined.append((start, size))
        started = [(start, self._start(start, size)) for start, size in joined]
        self._kept = [(start, self._result(pending)) for start, pending in started]
        return [self._kept_range(start, size) for start, size in ranges]

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Change the position, which may be after the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._stored.size_bytes}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        """Return the bytes from the position on, fewer only at the end of the object."""
        left = max(0, self._stored.size_bytes - self._position)
        size = left if size is None or size < 0 else min(size, left)
        for start, data in self._kept:
            at = self._position - start
            if at >= 0 and at + size <= len(data):
                self._position += size
                return data[at : at + size]
        at = self._position - self._buffer_start
        if size and not (at >= 0 and at + size <= len(self._buffer)):
            wanted = min(left, max(size, self._buffer_bytes))
            self._buffer = self._result(self._start(self._position, wanted))
            self._buffer_start, at = self._position, 0
        self._position += size
        return self._buffer[at : at + size]

    def _kept_range(self, start: int, size: int) -> memoryview:
        at, data = next((at, data) for at, data in self._kept if at <= start and start + size <= at + len(data))
        return memoryview(data)[start - at : start - at + size]

    def _start(self, start: int, size: int) -> Pending:
        return start_range(self._store, self._stored.name, start, size, self._stored.identity)

    @staticmethod
    def _result(pending: Pending) -> bytes:
        try:
            return pending()
        except ImageError as error:
            raise OSError(str(error)) from error


@dataclass(slots=True)
class _Request:
    """Neighbouring files that are read together; without a `pending` read if they are refused."""

    name: str
    start: int
    end: int
    identity: str | None
    files: list[FoundFile] = field(default_factory=list)
    pending: Pending | None = None
    refused: bool = False

    def takes(self, name: str, found: FoundFile, size: int) -> bool:
        """Return whether a file can be read by the same request."""
        return (
            not self.refused
            and (name, found.identity) == (self.name, self.identity)
            and 0 <= found.offset - self.end <= MAX_GAP_BYTES
            and found.offset + size - self.start <= TOGETHER_BYTES
        )


def read_files(store: Store, files: Iterable[FoundFile], *, max_bytes: int) -> Iterator[Read]:
    """Yield the content of files whose sizes are known, in order; neighbours of one object are read together."""
    planned = _requests(files, max_bytes)
    started: deque[_Request] = deque()
    waiting = 0
    while True:
        while len(started) < store.ahead and (waiting < AHEAD_BYTES or not started):
            request = next(planned, None)
            if request is None:
                break
            if not request.refused:
                size = request.end - request.start
                request.pending = start_range(store, request.name, request.start, size, request.identity)
                waiting += size
            started.append(request)
        if not started:
            return
        request = started.popleft()
        if request.pending is None:
            yield from _refused(store, request, max_bytes)
            continue
        waiting -= request.end - request.start
        yield from _content(request, request.pending)


def _requests(files: Iterable[FoundFile], max_bytes: int) -> Iterator[_Request]:
    request: _Request | None = None
    for found in files:
        name = found.path if found.shard is None else found.shard
        size = found.size_bytes or 0
        if request is not None and size <= max_bytes and found.shard is not None and request.takes(name, found, size):
            request.end = found.offset + size
            request.files.append(found)
            continue
        if request is not None:
            yield request
        start = found.offset if found.placed_by is None else max(0, found.offset - HEADER_BYTES)
        request = _Request(name, start, found.offset + size, found.identity, [found], refused=size > max_bytes)
    if request is not None:
        yield request


def _content(request: _Request, pending: Pending) -> Iterator[Read]:
    try:
        data = pending() if request.end > request.start else b""
    except ImageError as error:
        yield from ((found, error) for found in request.files)
        return
    for found in request.files:
        at = found.offset - request.start
        if found.placed_by is not None and not is_header_of(data[max(0, at - HEADER_BYTES) : at], found):
            yield found, other_file(found)
        else:
            yield found, data[at : at + (found.size_bytes or 0)]


def _refused(store: Store, request: _Request, max_bytes: int) -> Iterator[Read]:
    """Yield files that are too large, with their first bytes."""
    for found in request.files:
        size = found.size_bytes or 0
        try:
            start = store.start(request.name, found.offset, min(size, SIGNATURE_BYTES), found.identity)()
        except ImageError as error:
            yield found, error
        else:
            yield found, too_large(max_bytes, size_bytes=size, start=start)

"""Store of a remote dataset that is read by a fetcher process (see `fetcher`).

A fetcher that ends, stops or hangs fails all requests; the next use of the dataset starts another one. Each of its
requests to a server has time limits of its own (see `remote`).
"""

from __future__ import annotations

import atexit
import itertools
import json
import os
import socket
import struct
import subprocess
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Final

from starlight_exporter.dataset.sources.fetcher import (
    MAX_RESPONSE_BYTES,
    Channel,
    check_request,
    start_fetcher,
)
from starlight_exporter.dataset.sources.root import RemoteRoot
from starlight_exporter.dataset.sources.store import MAX_READ_BYTES, Pending, StoredObject
from starlight_exporter.durations import format_duration
from starlight_exporter.errors import DatasetError, ImageError

_MAX_PART_BYTES: Final = 64 * 1024 * 1024
_END_SECONDS: Final = 5.0
SILENT_SECONDS: Final = 60.0
"""Time without any message after which a fetcher counts as stopped."""
ANSWER_SECONDS: Final = 3600.0
"""Time after which a fetcher hangs if requests wait and none of them is answered."""
MAX_FETCHERS: Final = 4


class FetchedStore:
    """Objects that a fetcher reads. Thread-safe: many requests are in progress at once."""

    ahead = 16

    def __init__(self, root: RemoteRoot, connection: Channel, process: subprocess.Popen[bytes] | None = None) -> None:
        """Use a connection; `process` is the fetcher if it is to end with this store."""
        self.root = root
        self._connection = connection
        self._process = process
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._waiting: dict[int, _Request] = {}
        self._closed: str | None = None
        self._answered = time.monotonic()
        limit_silence(connection, SILENT_SECONDS)
        threading.Thread(target=self._receive, name="fetched", daemon=True).start()

    @staticmethod
    def started(root: RemoteRoot) -> FetchedStore:
        """Start a fetcher. Raise DatasetError if that is not possible."""
        try:
            process, connection = start_fetcher(root)
        except OSError as error:
            raise DatasetError(f"{root}: no process to read it: {error.strerror or error}") from error
        return FetchedStore(root, connection, process)

    def __reduce__(self) -> tuple[object, ...]:
        return fetched_store, (self.root,)

    @property
    def has_ended(self) -> bool:
        """Whether the fetcher has ended, so that every request fails."""
        return self._closed is not None

    def objects(self) -> Sequence[StoredObject]:
        """See `Store`."""
        parts: list[bytes] = self._request({"method": "list"}, size=None).result()
        return [StoredObject(**one) for part in parts for one in json.loads(part)]

    def start(self, name: str, start: int, size: int, identity: str | None) -> Pending:
        """See `Store`."""
        check_request(name, start, size)
        request = {"method": "read", "name": name, "start": start, "size": size, "identity": identity}
        return self._request(request, size=size).result

    def close(self) -> None:
        """See `Store`; the fetcher stays for the next use (see `fetched_store`)."""

    def end(self) -> None:
        """End the fetcher, if this store has started it."""
        if self._process is None:
            return
        self._shut_down()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._connection.close()

    def _request(self, request: dict[str, Any], *, size: int | None) -> Future[Any]:
        waiting = _Request(size)
        with self._lock:
            number = next(self._numbers)
            if self._closed is not None:
                raise DatasetError(self._closed)
            if not self._waiting:
                self._answered = time.monotonic()
            self._waiting[number] = waiting
            try:
                self._connection.send_bytes(json.dumps({"id": number, **request}).encode())
            except OSError as error:
                del self._waiting[number]
                raise DatasetError(f"{self.root}: the process that reads it has ended") from error
        return waiting.future

    def _receive(self) -> None:
        """Receive responses until the connection closes, then fail the requests that wait."""
        reader = f"{self.root}: the process that reads it"
        try:
            while True:
                self._received(json.loads(self._connection.recv_bytes(MAX_RESPONSE_BYTES)))
                if self._waiting and time.monotonic() - self._answered > ANSWER_SECONDS:
                    self._fail(f"{reader} has not answered for {format_duration(ANSWER_SECONDS)}")
                    return
        except BlockingIOError:
            self._fail(f"{reader} does not respond")
        except (EOFError, OSError):
            self._fail(f"{reader} has ended")
        except Exception as error:  # noqa: BLE001  # thread boundary: the requests would wait without end
            self._fail(f"{reader} has sent an invalid response: {type(error).__name__}: {error}")

    def _fail(self, text: str) -> None:
        """Fail the requests that wait, and all later ones."""
        # First: a thread that sends a request to a stopped process has the lock.
        self._shut_down()
        if self._process is not None:
            self._process.kill()
        with self._lock:
            self._closed = text
            waiting, self._waiting = list(self._waiting.values()), {}
        for one in waiting:
            # It may be the one whose response was invalid.
            with suppress(InvalidStateError):
                one.future.set_exception(DatasetError(text))

    def _shut_down(self) -> None:
        """Close the connection in both directions; closing its descriptor would wake no thread that uses it."""
        with suppress(OSError), socket.socket(fileno=os.dup(self._connection.fileno())) as end:
            end.shutdown(socket.SHUT_RDWR)

    def _received(self, response: dict[str, Any]) -> None:
        if not response:
            return
        self._answered = time.monotonic()
        number, size = response["id"], response.get("size", 0)
        waiting = self._waiting[number]
        if not 0 <= size <= (_MAX_PART_BYTES if waiting.size is None else MAX_READ_BYTES):
            raise ValueError(f"{size} bytes")
        data = self._connection.recv_bytes(size) if size else b""
        if "error" in response:
            error = str(response["text"])
            is_image = response["error"] == "image"
            waiting.future.set_exception(ImageError(error, reason="unreadable") if is_image else DatasetError(error))
        elif waiting.size is not None:
            waiting.future.set_result(data)
        elif response.get("end"):
            waiting.future.set_result(waiting.parts)
        else:
            waiting.parts.append(data)
            return
        with self._lock:
            del self._waiting[number]


class _Request:
    """A request without a response yet; `size` is that of the expected bytes, None for a listing in parts."""

    def __init__(self, size: int | None) -> None:
        self.size = size
        self.parts: list[bytes] = []
        self.future: Future[Any] = Future()


def limit_silence(connection: Channel, seconds: float) -> None:
    """Let reads from a connection raise BlockingIOError after this time without data, also inside a message."""
    with socket.socket(fileno=os.dup(connection.fileno())) as end:
        whole = int(seconds)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", whole, int((seconds - whole) * 1e6)))


class _Fetchers:
    """Connections of this process to fetchers, by URL: inherited ones, and those of fetchers that it started.

    A run opens its dataset several times, and starting a fetcher takes longer than listing a small dataset. So a
    fetcher stays until the process ends, or until MAX_FETCHERS others were used after it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inherited: dict[str, FetchedStore] = {}
        self._started: OrderedDict[str, FetchedStore] = OrderedDict()

    def inherit(self, root: RemoteRoot, descriptor: int) -> None:
        self._inherited[root.url] = FetchedStore(root, Connection(descriptor))

    def store(self, root: RemoteRoot) -> FetchedStore:
        inherited = self._inherited.get(root.url)
        if inherited is not None:
            return inherited
        with self._lock:
            store = self._started.get(root.url)
            if store is None or store.has_ended:
                if store is not None:
                    store.end()
                store = self._started[root.url] = FetchedStore.started(root)
            self._started.move_to_end(root.url)
            while len(self._started) > MAX_FETCHERS:
                self._started.popitem(last=False)[1].end()
            return store

    def end(self) -> None:
        with self._lock:
            while self._started:
                self._started.popitem()[1].end()


_fetchers = _Fetchers()
atexit.register(_fetchers.end)


def inherit(root: RemoteRoot, descriptor: int) -> None:
    """Use an inherited connection for a dataset, because this process has no network to start a fetcher."""
    _fetchers.inherit(root, descriptor)


def fetched_store(root: RemoteRoot) -> FetchedStore:
    """Return the store of a remote dataset, which this process shares. Raise DatasetError."""
    return _fetchers.store(root)


def end_fetchers() -> None:
    """End the fetchers that this process has started."""
    _fetchers.end()

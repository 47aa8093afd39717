"""Poll the listings of remote datasets: names, sizes and identities of their objects, without reading any.

A listing is made by a process of its own, which ends afterwards: the libraries of object stores take more memory than
the service itself. One thread lists all remote datasets in turn, so that a server that does not answer delays no check
of local files.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import structlog

from starlight_exporter.dataset.sources.fetched import FetchedStore
from starlight_exporter.dataset.sources.root import RemoteRoot
from starlight_exporter.dataset.sources.store import Store
from starlight_exporter.errors import StarlightError

_log = structlog.get_logger(__name__)

UNLISTED: Final[tuple[object, ...]] = ("not listed yet",)
"""Signature of a dataset that was not listed yet."""
MAX_FAILURES: Final = 3
"""Failed listings in a row after which a dataset counts as changed: its evaluation then reports the reason."""
INTERVAL_SECONDS: Final = 60.0
INTERVALS: Final = 30
"""Shortest time between two listings of a dataset, in intervals between file checks."""
MAX_BUSY_RATIO: Final = 0.1
"""Share of the time for the listings of one dataset: the next listing of a large one is delayed accordingly."""


def listing_digest(root: RemoteRoot) -> str:
    """Return a digest that changes with any object below a URL. Raise DatasetError."""
    store = FetchedStore.started(root)
    try:
        return store_digest(store)
    finally:
        store.end()


def store_digest(store: Store) -> str:
    """Return a digest of names, sizes and identities of the objects of a store. Raise DatasetError."""
    digest = hashlib.sha256()
    for one in store.objects():
        digest.update(f"{one.name}\0{one.size_bytes}\0{one.identity}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


class RemoteListings:
    """The last digest of every watched remote dataset, None after MAX_FAILURES failed listings. Thread-safe.

    The thread starts with the first dataset, and ends with the process.
    """

    def __init__(
        self,
        *,
        interval: float = INTERVAL_SECONDS,
        digest: Callable[[RemoteRoot], str] = listing_digest,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.interval = interval
        self._digest = digest
        self._clock = clock
        self._lock = threading.Condition()
        self._due: dict[RemoteRoot, float] = {}
        self._digests: dict[RemoteRoot, str | None] = {}
        self._failures: Counter[RemoteRoot] = Counter()
        self._thread: threading.Thread | None = None

    def signature(self, root: RemoteRoot) -> tuple[object, ...] | None:
        """Return what changes with the dataset; it is watched from the first call on, and listed soon after it."""
        with self._lock:
            if root not in self._due:
                self._due[root] = self._clock()
                self._lock.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="remote listings", daemon=True)
                self._thread.start()
            return (self._digests[root],) if root in self._digests else UNLISTED

    def watched(self) -> frozenset[RemoteRoot]:
        """Return the datasets that are listed."""
        with self._lock:
            return frozenset(self._due)

    def keep_only(self, roots: set[RemoteRoot]) -> None:
        """Stop to list all other datasets."""
        with self._lock:
            self._due = {root: due for root, due in self._due.items() if root in roots}
            self._digests = {root: digest for root, digest in self._digests.items() if root in roots}

    def _loop(self) -> None:
        while True:
            root = self._next()
            start = self._clock()
            digest = self._listed(root)
            end = self._clock()
            with self._lock:
                if root not in self._due:
                    continue
                self._due[root] = end + max(self.interval, (end - start) / MAX_BUSY_RATIO)
                if digest is not None or self._failures[root] >= MAX_FAILURES:
                    self._digests[root] = digest

    def _next(self) -> RemoteRoot:
        with self._lock:
            while True:
                root = min(self._due, key=self._due.__getitem__, default=None)
                seconds = None if root is None else self._due[root] - self._clock()
                if root is not None and seconds is not None and seconds <= 0:
                    return root
                self._lock.wait(seconds)

    def _listed(self, root: RemoteRoot) -> str | None:
        try:
            digest = self._digest(root)
        except StarlightError as error:
            if not self._failures[root]:
                _log.warning("dataset not listed", reason=str(error))
            self._failures[root] += 1
            return None
        except Exception:  # noqa: BLE001  # thread boundary: an unexpected error must not stop later listings
            _log.exception("unexpected error in the listing of a dataset", dataset=str(root))
            self._failures[root] += 1
            return None
        del self._failures[root]
        return digest

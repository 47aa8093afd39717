"""Watched remote datasets: changed objects are reported, the first listing is not, and failures after some attempts."""

from __future__ import annotations

import secrets
import threading

import fsspec

from starlight_exporter.dataset.sources.remote import RemoteStore
from starlight_exporter.dataset.sources.root import RemoteRoot
from starlight_exporter.errors import DatasetError
from starlight_exporter.runs.remote_listings import MAX_FAILURES, RemoteListings, store_digest
from starlight_exporter.runs.watcher import Watcher
from support.waiting import wait_until


class Listed:
    """A dataset in memory, of which every listing waits for `next`."""

    def __init__(self) -> None:
        self.root = RemoteRoot(f"memory://watched-{secrets.token_hex(4)}")
        self.files = fsspec.filesystem("memory")
        self.started = 0
        self.is_reachable = True
        self._turn = threading.Semaphore(0)
        self.listings = RemoteListings(interval=0.0, digest=self._digest)
        self.watcher = Watcher(settle=0.0, listings=self.listings)

    def put(self, name: str, data: bytes) -> None:
        self.files.pipe_file(f"/{self.root.name}/{name}", data)

    def delete(self, name: str) -> None:
        self.files.rm_file(f"/{self.root.name}/{name}")

    def _digest(self, root: RemoteRoot) -> str:
        self.started += 1
        self._turn.acquire()
        if not self.is_reachable:
            raise DatasetError(f"{root}: not reachable")
        return store_digest(RemoteStore(root))

    def list_again(self, times: int = 1) -> None:
        """Let some listings pass; the next one starts when the result of the last one is known."""
        for _ in range(times):
            wait_until(lambda: self.started > 0)
            wanted = self.started + 1
            self._turn.release()
            wait_until(lambda: self.started >= wanted)  # noqa: B023

    def changes(self) -> list[str]:
        return self.watcher.poll()


def watched() -> Listed:
    listed = Listed()
    listed.put("a.png", b"1")
    listed.watcher.watch_tree("dataset x", listed.root)
    listed.list_again()
    return listed


def test_first_listing_is_no_change() -> None:
    listed = watched()
    assert listed.changes() == []
    listed.list_again()
    assert listed.changes() == []


def test_replaced_object_is_reported_once() -> None:
    listed = watched()
    listed.changes()
    listed.put("a.png", b"2")
    listed.list_again()
    assert listed.changes() == ["dataset x"]
    listed.list_again()
    assert listed.changes() == []


def test_dataset_that_cannot_be_listed_is_reported_after_some_failures() -> None:
    listed = watched()
    listed.changes()
    listed.is_reachable = False
    listed.list_again(MAX_FAILURES - 1)
    assert listed.changes() == []
    listed.list_again()
    assert listed.changes() == ["dataset x"]
    listed.is_reachable = True
    listed.list_again()
    assert listed.changes() == ["dataset x"]


def test_emptied_dataset_is_reported_once() -> None:
    listed = watched()
    listed.changes()
    listed.delete("a.png")
    listed.list_again()
    assert listed.changes() == ["dataset x"]
    listed.list_again()
    assert listed.changes() == []


def test_dataset_that_is_no_longer_watched_is_not_listed() -> None:
    listed = watched()
    listed.watcher.keep_only([])
    assert listed.listings.watched() == frozenset()

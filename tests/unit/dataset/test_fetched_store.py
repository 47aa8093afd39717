"""The connection to a fetcher that stops, hangs or is slow: requests never wait without end."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Pipe

import pytest

from starlight_exporter.dataset.sources import fetched, fetcher
from starlight_exporter.dataset.sources.fetched import FetchedStore
from starlight_exporter.dataset.sources.fetcher import Channel, FetcherServer
from starlight_exporter.dataset.sources.remote import RemoteStore
from starlight_exporter.dataset.sources.root import RemoteRoot
from starlight_exporter.dataset.sources.store import StoredObject
from starlight_exporter.errors import DatasetError

ROOT = RemoteRoot("memory://fetched")


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    """Return the ends of a connection, for the store and for the fetcher."""
    own, remote = Pipe()
    with own, remote:
        yield own, remote


@pytest.mark.parametrize("start", [b"", struct.pack("!i", 1000), struct.pack("!i", 1000) + b'{"id": 0'])
def test_fetcher_that_stops_fails_the_requests(
    ends: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch, start: bytes
) -> None:
    monkeypatch.setattr(fetched, "SILENT_SECONDS", 0.1)
    own, remote = ends
    store = FetchedStore(ROOT, own)
    # A process can stop anywhere, also inside a message.
    os.write(remote.fileno(), start)
    with pytest.raises(DatasetError, match=r"^memory://fetched: the process that reads it does not respond$"):
        store.objects()
    assert store.has_ended


def test_fetcher_that_does_not_answer_fails_the_requests(
    ends: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetched, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(fetcher, "BEAT_SECONDS", 0.05)
    own, remote = ends
    store = FetchedStore(ROOT, own)
    # Beats, and serves nothing.
    FetcherServer(remote)
    with pytest.raises(DatasetError, match="the process that reads it has not answered for 100ms"):
        store.objects()
    assert store.has_ended


class SlowStore(RemoteStore):
    """Lists after a wait."""

    def __init__(self, seconds: float) -> None:
        super().__init__(ROOT)
        self._seconds = seconds

    def objects(self) -> Sequence[StoredObject]:
        """See `Store`."""
        threading.Event().wait(self._seconds)
        return [StoredObject("a.png", 1)]


@pytest.mark.slow
def test_fetcher_that_waits_for_a_server_does_not_fail(
    ends: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetched, "SILENT_SECONDS", 1.5)
    monkeypatch.setattr(fetcher, "BEAT_SECONDS", 0.1)
    own, remote = ends
    server = FetcherServer(remote)
    threading.Thread(target=server.serve, args=(SlowStore(2.0),), daemon=True).start()
    store = FetchedStore(ROOT, own)
    assert [one.name for one in store.objects()] == ["a.png"]
    assert not store.has_ended

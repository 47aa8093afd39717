"""Sidecars in a store: read ahead and once, whatever the order and the number of threads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from starlight_exporter.dataset.sidecar import SidecarError
from starlight_exporter.dataset.sources.members import Member
from starlight_exporter.dataset.sources.root import RemoteRoot
from starlight_exporter.dataset.sources.sidecars import StoredSidecars
from starlight_exporter.dataset.sources.store import Pending, StoredObject
from starlight_exporter.errors import ImageError


class CountingStore:
    """Sidecars by name. `started` are the names of all requests, `waited` the number of them at each wait."""

    root = RemoteRoot("memory://sidecars")
    ahead = 16

    def __init__(self, contents: dict[str, bytes]) -> None:
        self.contents = contents
        self.started: list[str] = []
        self.waited: list[int] = []

    def objects(self) -> Sequence[StoredObject]:
        """See `Store`."""
        return [StoredObject(name, len(data)) for name, data in self.contents.items()]

    def start(self, name: str, start: int, size: int, identity: str | None) -> Pending:
        """See `Store`."""
        del identity
        self.started.append(name)

        def read() -> bytes:
            self.waited.append(len(self.started))
            if not self.contents[name].startswith(b"{"):
                raise ImageError(f"{name} was not found", reason="unreadable")
            return self.contents[name][start : start + size]

        return read

    def close(self) -> None:
        """See `Store`."""


def stored(contents: dict[str, bytes]) -> tuple[CountingStore, StoredSidecars]:
    store = CountingStore(contents)
    return store, StoredSidecars(store, [Member(one.name, one.size_bytes, None) for one in store.objects()])


def test_sidecars_are_read_ahead_and_once() -> None:
    names = [f"stego/lsb/{number:03}.png.json" for number in range(60)]
    store, sidecars = stored({name: json.dumps({"payload_bytes": n}).encode() for n, name in enumerate(names)})
    with ThreadPoolExecutor(4) as pool:
        payloads = [sidecar.payload_bytes for sidecar in pool.map(sidecars.get, names)]
    assert payloads == list(range(60))
    assert store.started == names
    assert store.waited[0] == store.ahead


def test_problem_of_one_sidecar_is_not_that_of_another() -> None:
    _, sidecars = stored({"a.json": b"{}", "b.json": b"deleted", "c.json": b"{", "d.json": b'{"payload_bytes": 4}'})
    assert sidecars.get("a.json").payload_bytes is None
    with pytest.raises(SidecarError, match=r"^sidecar cannot be read: b\.json was not found$"):
        sidecars.get("b.json")
    with pytest.raises(SidecarError, match=r"^sidecar is not JSON"):
        sidecars.get("c.json")
    with pytest.raises(SidecarError, match=r"^sidecar was not found$"):
        sidecars.get("e.json")
    assert sidecars.get("d.json").payload_bytes == 4

"""Sidecars in a store. They are read ahead: reading them one by one takes the latency of the server for each."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from starlight_exporter.dataset.sidecar import MAX_SIDECAR_BYTES, Sidecar, SidecarError, parsed_sidecar
from starlight_exporter.dataset.sources.members import Member
from starlight_exporter.dataset.sources.ranges import read_files
from starlight_exporter.dataset.sources.store import Store
from starlight_exporter.errors import ImageError

_TOGETHER: Final = 64
_KEPT: Final = 64 * _TOGETHER
"""Enough for all threads, each of which reads another part of the dataset."""


class StoredSidecars:
    """The sidecars of one dataset, in the order of its listing. Thread-safe."""

    def __init__(self, store: Store, members: Sequence[Member]) -> None:
        self._store = store
        self._members = members
        self._numbers = {member.path: number for number, member in enumerate(members)}
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Sidecar | SidecarError] = OrderedDict()

    def get(self, path: str) -> Sidecar:
        """Return what a sidecar states; those that follow it are read as well. Raise SidecarError or DatasetError."""
        with self._lock:
            sidecar = self._known.get(path)
            if sidecar is None:
                sidecar = self._read(path)
        if isinstance(sidecar, SidecarError):
            raise sidecar
        return sidecar

    def _read(self, path: str) -> Sidecar | SidecarError:
        number = self._numbers.get(path)
        if number is None:
            return SidecarError("sidecar was not found")
        together = self._members[number : number + _TOGETHER]
        files = [member.found(self._store.root, "stego") for member in together]
        for file, data in read_files(self._store, files, max_bytes=MAX_SIDECAR_BYTES):
            self._known[file.path] = _parsed(data)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return self._known[path]


def _parsed(data: bytes | ImageError) -> Sidecar | SidecarError:
    if isinstance(data, ImageError):
        return SidecarError(f"sidecar cannot be read: {data}")
    try:
        return parsed_sidecar(data)
    except SidecarError as error:
        return error

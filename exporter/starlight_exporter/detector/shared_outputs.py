"""Outputs of stages, shared between images with equal inputs."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Final

from cachetools import LRUCache
from numpy.typing import NDArray

_ENTRY_OVERHEAD: Final = 400
Outputs = tuple[NDArray[Any], ...]
Key = tuple[object, ...]


class SharedOutputs:
    """Outputs by the content of a stage's inputs: an LRU cache of at most `limit` bytes. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self._entries: LRUCache[Key, Outputs] = LRUCache(limit, getsizeof=_size)
        self._lock = threading.Lock()
        self.hits = 0
        self.added = 0

    @property
    def size_bytes(self) -> int:
        """Size of all stored outputs with their overhead."""
        return int(self._entries.currsize)

    def get(self, keys: Sequence[Key]) -> list[Outputs | None]:
        """Return the outputs for each key, None where there are none."""
        with self._lock:
            found = [self._entries.get(key) for key in keys]
            self.hits += len(found) - found.count(None)
        return found

    def put(self, key: Key, outputs: Outputs) -> None:
        """Store outputs, unless they are larger than the cache."""
        with self._lock:
            self.added += 1
            if _size(outputs) <= self._entries.maxsize:
                self._entries[key] = outputs


def _size(outputs: Outputs) -> int:
    return _ENTRY_OVERHEAD + sum(values.nbytes for values in outputs)

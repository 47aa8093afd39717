"""What a network's parts gave for one image and another may need too, the longest unused dropped."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final

from numpy.typing import NDArray

_ENTRY_OVERHEAD: Final = 400
Outputs = tuple[NDArray[Any], ...]
Key = tuple[object, ...]


class SharedOutputs:
    """Outputs by what went in, bounded by `limit` bytes; safe with several threads."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[Key, Outputs] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self.found = 0
        self.computed = 0

    def get(self, keys: Sequence[Key]) -> list[Outputs | None]:
        """The outputs of each, None where nobody has computed them or they were dropped."""
        with self._lock:
            found = [self._entries.get(key) for key in keys]
            for key, outputs in zip(keys, found, strict=True):
                if outputs is not None:
                    self._entries.move_to_end(key)
                    self.found += 1
        return found

    def put(self, key: Key, outputs: Outputs) -> None:
        """Keep what was computed."""
        with self._lock:
            self.computed += 1
            if key not in self._entries:
                self._entries[key] = outputs
                self._bytes += _size(outputs)
            while self._bytes > self._limit:
                _, dropped = self._entries.popitem(last=False)
                self._bytes -= _size(dropped)


def _size(outputs: Outputs) -> int:
    return _ENTRY_OVERHEAD + sum(values.nbytes for values in outputs)

"""Byte budget: bounds the memory of concurrent work by its estimated size."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class ByteBudget:
    """Admits work as long as the estimates of all admitted work fit in a number of bytes. Thread-safe.

    Work that is estimated at more than the whole budget is admitted when nothing else is.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._free = total
        self._changed = threading.Condition()

    @contextmanager
    def admitted(self, estimate: int) -> Iterator[None]:
        """Wait until the work is admitted; release its bytes at the end of the block."""
        taken = min(estimate, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= taken)
            self._free -= taken
        try:
            yield
        finally:
            with self._changed:
                self._free += taken
                self._changed.notify_all()

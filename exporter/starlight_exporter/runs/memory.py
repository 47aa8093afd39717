"""Memory of another process."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

_COUNTED: Final = (b"RssAnon:", b"RssShmem:", b"VmSwap:")


def anonymous_bytes(pid: int) -> int:
    """Return the memory of a process that the kernel cannot drop, also where swapped out; 0 if it has ended.

    Mapped files are not counted: the cache of decoded images is one, and the kernel drops its pages when it needs them.
    """
    total = 0
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_bytes().splitlines():
            if line.startswith(_COUNTED):
                total += int(line.split()[1]) * 1024
    return total

"""The processor of this machine."""

from __future__ import annotations

import platform
from contextlib import suppress
from pathlib import Path


def processor() -> str:
    """Return the model of the processor. Another one may differ in the last bit of a probability."""
    with suppress(OSError):
        # The platform module does not return the CPU model on Linux.
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name") and (name := line.partition(":")[2].strip()):
                return name
    return platform.processor() or platform.machine() or "unknown"

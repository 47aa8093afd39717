"""Settings of the cache; needs no decoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEFAULT_CACHE_BYTES: Final = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """Where decoded images are kept, and how many bytes they may take in all."""

    folder: Path
    max_bytes: int = DEFAULT_CACHE_BYTES

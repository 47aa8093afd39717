"""Settings of the image cache, importable without a decoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEFAULT_CACHE_BYTES: Final = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """Folder of the cache, and its maximum total size."""

    folder: Path
    max_bytes: int = DEFAULT_CACHE_BYTES

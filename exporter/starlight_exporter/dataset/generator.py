"""The generator of a dataset: `starlight dataset make` leaves a manifest with its version in the folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from starlight_exporter.dataset.sources.root import DatasetRoot
from starlight_exporter.file_access import read_content

MANIFEST: Final = "dataset.json"
_MAX_BYTES: Final = 64 * 1024


def generator_version(root: DatasetRoot) -> str | None:
    """Return the version of the generator that made a dataset; None if it was not generated, or is not a folder."""
    if not isinstance(root, Path):
        return None
    try:
        content = json.loads(read_content(root / MANIFEST, max_bytes=_MAX_BYTES, root=root).data)
        version = content["parameters"]["generator"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        # Any dataset may contain a file of this name.
        return None
    return str(version) if isinstance(version, int) and not isinstance(version, bool) else None

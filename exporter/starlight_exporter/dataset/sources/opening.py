"""Open the source of a dataset."""

from __future__ import annotations

from pathlib import Path

from starlight_exporter.dataset.sources.folder import FolderSource
from starlight_exporter.dataset.sources.root import DatasetRoot
from starlight_exporter.dataset.sources.source import Source
from starlight_exporter.errors import DatasetError


def open_source(root: DatasetRoot) -> Source:
    """Return the source of a dataset. Raise DatasetError if it cannot be reached."""
    if isinstance(root, Path):
        return FolderSource(root)
    raise DatasetError(f"{root}: cannot be read")

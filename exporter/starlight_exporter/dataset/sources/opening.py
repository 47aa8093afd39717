"""Open the source of a dataset."""

from __future__ import annotations

from pathlib import Path

from starlight_exporter.dataset.sources.folder import FolderSource
from starlight_exporter.dataset.sources.names import is_folder_of_shards
from starlight_exporter.dataset.sources.root import DatasetRoot
from starlight_exporter.dataset.sources.source import Source
from starlight_exporter.dataset.sources.store import LocalStore
from starlight_exporter.dataset.sources.stored import StoreSource
from starlight_exporter.errors import DatasetError


def open_source(root: DatasetRoot) -> Source:
    """Return the source of a dataset. Raise DatasetError if it cannot be reached."""
    if isinstance(root, Path):
        return StoreSource(LocalStore(root)) if is_folder_of_shards(root) else FolderSource(root)
    raise DatasetError(f"{root}: cannot be read")

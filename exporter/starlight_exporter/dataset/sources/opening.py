"""Open the source of a dataset."""

from __future__ import annotations

from pathlib import Path

from starlight_exporter.dataset.sources.fetched import fetched_store
from starlight_exporter.dataset.sources.folder import FolderSource
from starlight_exporter.dataset.sources.names import is_folder_of_shards
from starlight_exporter.dataset.sources.remote import RemoteStore
from starlight_exporter.dataset.sources.root import DatasetRoot
from starlight_exporter.dataset.sources.source import Source
from starlight_exporter.dataset.sources.store import LocalStore
from starlight_exporter.dataset.sources.stored import StoreSource


def open_source(root: DatasetRoot) -> Source:
    """Return the source of a dataset. Raise DatasetError if it cannot be reached."""
    if isinstance(root, Path):
        return StoreSource(LocalStore(root)) if is_folder_of_shards(root) else FolderSource(root)
    # The store of tests is in this process.
    return StoreSource(RemoteStore(root) if root.protocol == "memory" else fetched_store(root))

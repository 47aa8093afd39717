"""Find, label and hash the files of a dataset.

    <root>/clean/**                    covers
    <root>/stego/**                    labelled by sidecar, folder `stego/{method}/**` or name (see `labels`)
    <root>/negatives/{category}/**     hard negatives, of at most MAX_CATEGORIES

All files below these three folders are images, except those whose names are ignored (see `ignored`). Other layouts are
other class folders (see `class_folders`), a label manifest (see `manifest`), and ImageFolder with metadata (see
`metadata`); with the latter two, all files below the root are images. Files that cannot be measured are listed with
their problem, so that they are counted as not measured. Nothing is decoded.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Final

from starlight_exporter.activity import NO_ACTIVITY
from starlight_exporter.dataset.cache import index_folder
from starlight_exporter.dataset.cache_settings import CacheSettings
from starlight_exporter.dataset.dataset import Dataset, FileFault, ScannedDataset
from starlight_exporter.dataset.engine import Engine, LocalEngine
from starlight_exporter.dataset.listing import Listing, list_labelled
from starlight_exporter.dataset.scanning import Scan, ScanJob
from starlight_exporter.dataset.sources.opening import open_source
from starlight_exporter.dataset.sources.root import DatasetRoot
from starlight_exporter.detector.contract import DEFAULT_MAX_FILE_BYTES

SCAN_THREADS: Final = min(os.cpu_count() or 1, 64)
"""More threads do not read faster."""


def scan(
    name: str,
    root: DatasetRoot,
    *,
    max_file_bytes: int = DEFAULT_MAX_FILE_BYTES,
) -> Dataset:
    """Return all files of the dataset in `root`, labelled and hashed; larger files are not read.

    Raises DatasetError if `root` is missing, cannot be listed, has none of the layouts (or it is ambiguous which), or
    contains no image, and if the file with its labels cannot be used.
    """
    with open_source(root) as source:
        listing = list_labelled(source)
    return read_listing(name, root, listing, max_file_bytes=max_file_bytes)


def read_listing(
    name: str, root: DatasetRoot, listing: Listing, *, max_file_bytes: int = DEFAULT_MAX_FILE_BYTES
) -> Dataset:
    """Return all files of a listed dataset, hashed."""
    job = ScanJob(root, max_file_bytes, math.inf, listing.categories)
    found = Scan(listing, job, LocalEngine(SCAN_THREADS, NO_ACTIVITY))
    files = tuple(found.files())
    return Dataset(name, root, files, found.fingerprint())


def scan_listing(
    listing: Listing,
    root: DatasetRoot,
    *,
    max_file_bytes: int = DEFAULT_MAX_FILE_BYTES,
    image_seconds: float = math.inf,
    faults: Sequence[FileFault] = (),
    cache: CacheSettings | None = None,
    engine: Engine,
) -> ScannedDataset:
    """Scan a listed dataset, without keeping its files in memory.

    Files whose content is known by their identity are not read, if there is a `cache`.
    """
    index = None if cache is None else index_folder(cache)
    job = ScanJob(root, max_file_bytes, image_seconds, listing.categories, tuple(faults), index)
    found = Scan(listing, job, engine)
    for _ in found.files():
        pass
    return ScannedDataset(found.fingerprint(), listing.files.digest)

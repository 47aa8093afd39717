"""Find and hash the files of an unlabelled dataset: every image below its folder, without class folders or labels."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from starlight_exporter.activity import NO_ACTIVITY, Activity
from starlight_exporter.dataset.dataset import Dataset, FileProblem
from starlight_exporter.dataset.labels import read_labels
from starlight_exporter.dataset.layout import fingerprint, label_files
from starlight_exporter.dataset.sources.folder import folder_modified_ns
from starlight_exporter.dataset.walk import find_unlabelled_files
from starlight_exporter.dataset.window import Window, inside
from starlight_exporter.detector.contract import DEFAULT_MAX_FILE_BYTES


def scan_unlabelled(
    name: str,
    root: Path,
    window: Window | None,
    *,
    max_file_bytes: int = DEFAULT_MAX_FILE_BYTES,
    excluded: Mapping[str, FileProblem] = MappingProxyType({}),
    activity: Activity = NO_ACTIVITY,
) -> Dataset:
    """Return the files of the window, hashed; files outside it are counted, but not read.

    The fingerprint covers the files of the window. An empty folder is a dataset without files. Names are ignored and
    links followed as in `layout.scan`. Raise DatasetError if `root` is missing or cannot be listed.
    """
    found = find_unlabelled_files(root)
    chosen = inside(found, window, folder_modified_ns)
    files = label_files(chosen, read_labels, max_file_bytes=max_file_bytes, excluded=excluded, activity=activity)
    return Dataset(
        name=name,
        root=root,
        files=tuple(files),
        fingerprint=fingerprint(files),
        ignored_files=found.ignored,
        files_outside_window=len(found) - len(chosen),
    )

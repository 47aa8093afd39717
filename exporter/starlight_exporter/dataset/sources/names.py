"""Names of shards: archives that contain the images of a dataset."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from starlight_exporter.dataset.ignored import LABEL_FILES, is_ignored, is_ignored_folder

TAR: Final = ".tar"
PARQUET: Final = ".parquet"
LONGEST_PATH: Final = 4096


def is_shard(name: str) -> bool:
    """Return whether an object with this name is a shard: a tar or Parquet file that is not hidden."""
    base = name.rpartition("/")[2]
    return not base.startswith(".") and name not in LABEL_FILES and base.lower().endswith((TAR, PARQUET))


def has_only_shards(names: Iterable[str]) -> bool:
    """Return whether a dataset consists of shards: there is one, and every other object is ignored by its name."""
    found = False
    for name in names:
        if is_shard(name):
            found = True
        elif not is_ignored_path(name):
            return False
    return found


def is_ignored_path(path: str) -> bool:
    """Return whether a file, or a folder that contains it, is ignored by its name."""
    *folders, name = path.split("/")
    return is_ignored(name) or any(is_ignored_folder(folder) for folder in folders)


def is_folder_of_shards(root: Path) -> bool:
    """Return whether a local folder consists of shards; False if it cannot be listed."""
    try:
        with os.scandir(root) as entries:
            # A folder counts as a file in it that is no shard, so the answer does not depend on what it contains.
            return has_only_shards(f"{entry.name}/file" if entry.is_dir() else entry.name for entry in entries)
    except OSError:
        return False


def is_relative(path: str) -> bool:
    """Return whether a path can be one of a dataset: relative and normalised, at most LONGEST_PATH characters."""
    return (
        len(path) <= LONGEST_PATH and "\0" not in path and not any(part in ("", ".", "..") for part in path.split("/"))
    )

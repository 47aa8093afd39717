"""Folders that cannot be read, even by root."""

from __future__ import annotations

import os
from pathlib import Path


def make_unreadable_folder(root: Path) -> tuple[Path, Path]:
    """Return a folder of models, and a folder in it whose files have paths that are too long, even for root.

    The error is of the same kind as that of a folder without permissions.
    """
    root.mkdir(exist_ok=True)
    longest = os.pathconf(root, "PC_PATH_MAX")
    while len(str(root)) < longest - 150:
        root /= "d" * 100
    # The folder's own path still fits; with a slash and a file's name it does not.
    folder = root / ("n" * (longest - 3 - len(str(root))))
    folder.mkdir(parents=True)
    return root, folder

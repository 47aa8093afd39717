"""Folders that are in the way of a reader."""

from __future__ import annotations

import os
from pathlib import Path


def make_unreadable_folder(root: Path) -> tuple[Path, Path]:
    """A folder of models, and one in it whose files nobody can ask for, root neither: their paths are too long.

    For other users, a folder without permissions gives the same kind of error.
    """
    root.mkdir(exist_ok=True)
    longest = os.pathconf(root, "PC_PATH_MAX")
    while len(str(root)) < longest - 150:
        root /= "d" * 100
    # The folder's own path still fits; with a slash and a file's name it does not.
    folder = root / ("n" * (longest - 3 - len(str(root))))
    folder.mkdir(parents=True)
    return root, folder

"""A folder with the files of another one, for datasets: they do not follow links that lead out of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from starlight_exporter.errors import DatasetError


def link_folder(source: Path, target: Path) -> None:
    """Create `target` with hard links to the files of `source`, or copies if they are on another file system.

    Links inside the folder are kept; files that are not regular become empty files, so that they are counted. Raises
    DatasetError if the folder cannot be read or written.
    """

    def fail(error: OSError) -> None:
        raise error

    try:
        for folder, folders, names in os.walk(source, onerror=fail):
            place = target / Path(folder).relative_to(source)
            place.mkdir(parents=True)
            links = [name for name in folders if Path(folder, name).is_symlink()]
            for name in (*names, *links):
                _link(Path(folder, name), place / name)
    except OSError as error:
        raise DatasetError(f"{source}: cannot be linked or copied: {error.strerror or error}") from error


def _link(source: Path, target: Path) -> None:
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return
    if not source.is_file():
        target.touch()
        return
    try:
        os.link(source, target)
    except OSError:
        # Another file system, or a file of another user.
        shutil.copyfile(source, target)

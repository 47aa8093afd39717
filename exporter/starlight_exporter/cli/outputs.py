"""Check the outputs of a command before it does the work whose results they hold."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from starlight_exporter.errors import StorageError
from starlight_exporter.files import is_stream


def require_outputs(
    replaced: Mapping[str, Path | None], appended: Mapping[str, Path | None], inputs: Iterable[Path | None]
) -> None:
    """Raise StorageError unless every file can be written; the keys are flags such as `--junit`. Writes nothing.

    The folder of a file must exist. Two flags must not name the same file, and none may name one of the `inputs`.
    """
    taken = {_resolved(path): "is an input of this command" for path in inputs if path is not None}
    for flag, path in (*replaced.items(), *appended.items()):
        if path is None:
            continue
        # Raises for links and folders that cannot be followed.
        stream = is_stream(path)
        problem = taken.get(_resolved(path)) or _problem(path, in_place=stream or flag in appended)
        if problem is not None:
            raise StorageError(f"{flag}: {path}: cannot be written: {problem}")
        if not stream:
            taken[_resolved(path)] = f"is the file of {flag}"


def require_writable(path: Path) -> None:
    """Raise StorageError unless a file can be created in the folder of `path`, or in the nearest one that exists.

    Pipes and devices are written directly, and not checked.
    """
    if is_stream(path):
        return
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error


def _problem(path: Path, *, in_place: bool) -> str | None:
    if path.is_dir():
        return "is a folder"
    # Of a link, the folder of its target.
    folder = _resolved(path).parent if path.is_symlink() else path.parent
    if not folder.exists():
        return f"no such folder: {folder}"
    if not folder.is_dir():
        return f"{folder} is not a folder"
    if path.exists() and not os.access(path, os.W_OK):
        return "no permission"
    # A new file replaces the old one, which takes permission to write to the folder.
    if not (in_place and path.exists()) and not os.access(folder, os.W_OK | os.X_OK):
        return f"no permission to write to {folder}"
    return None


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):
        # A circular link, or a folder without permission.
        return path.absolute()

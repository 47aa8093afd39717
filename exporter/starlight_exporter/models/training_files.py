"""Manifest of training files: content hashes, used to count the images of a dataset that a model was trained on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.dataset.dataset import LabelledFile
from starlight_exporter.errors import StorageError
from starlight_exporter.file_access import read_content

MANIFEST_NAME: Final = "training_files.sha256"
"""Manifest next to a model: the first 16 digits of the SHA-256 of each training file, one per line, sorted.

Several models that were trained on the same files can share one: the key `training_files` of their cards names it.
"""

MAX_MANIFEST_BYTES: Final = 64 * 1024 * 1024

_DIGITS: Final = 16
_HEAD: Final = "# SHA-256 of the files that the model was trained on, first 16 digits\n"

Manifest = NDArray[np.uint64]


def manifest_text(files: Iterable[LabelledFile]) -> str:
    """Return the manifest of these files, without unreadable files and duplicates.

    Sixteen digits are 64 bits: the probability of a collision between 10,000 and 10,000 files is 5e-12.
    """
    return _HEAD + "".join(f"{prefix}\n" for prefix in sorted({file.sha256[:_DIGITS] for file in files if file.sha256}))


def read_manifest(path: Path, *, root: Path | None = None) -> Manifest:
    """Read a manifest; return its hashes, sorted. Raise StorageError, which names the file and the line.

    With a `root`, a link that leads out of it is not followed.
    """
    try:
        lines = read_content(path, max_bytes=MAX_MANIFEST_BYTES, root=root).data.decode("ascii").splitlines()
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise StorageError(f"{path}: not a manifest of training files: {error}") from error
    hashes = []
    for number, line in enumerate(lines, 1):
        if line and not line.startswith("#"):
            try:
                hashes.append(_prefix(line))
            except ValueError as error:
                raise StorageError(f"{path}:{number}: expected {_DIGITS} hexadecimal digits") from error
    return np.unique(np.array(hashes, np.uint64))


def leaked_images(prefixes: Manifest, manifest: Manifest) -> int:
    """Return the number of files whose content is in the manifest; `prefixes` are their hashes as in a manifest."""
    return int(np.isin(prefixes, manifest).sum())


def _prefix(digits: str) -> int:
    if len(digits) != _DIGITS:
        raise ValueError(digits)
    return int(digits, 16)

"""Hashes of files as in a manifest of training files."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.dataset.dataset import LabelledFile


def prefixes(files: Iterable[LabelledFile]) -> NDArray[np.uint64]:
    """Return the first 64 bits of the SHA-256 of each file."""
    return np.array([int(file.sha256[:16], 16) for file in files], np.uint64)

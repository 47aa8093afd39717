"""Embeddings of measured images, collected during the bulk pass: 256 bytes per image, of at most MAX_IMAGES images."""

from __future__ import annotations

import random
import threading
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.dataset.dataset import LabelledFile
from starlight_exporter.detector.contract import EMBEDDING_SIZE

MAX_IMAGES: Final = 50_000
"""More embeddings would take memory that a worker does not have, without more precise results."""


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingTable:
    """One row per image, sorted by path; `values`, of shape (images, EMBEDDING_SIZE), may not be finite."""

    paths: tuple[str, ...]
    values: NDArray[np.float32]


def sampled_paths(files: Sequence[LabelledFile], *, seed: int, limit: int = MAX_IMAGES) -> frozenset[str] | None:
    """Return the paths of at most `limit` clean and stego files, chosen at random; None if there are not more."""
    paths = [file.path for file in files if file.file_class != "negative"]
    return None if len(paths) <= limit else frozenset(random.Random(seed).sample(paths, limit))


class EmbeddingCollector:
    """Collects the embeddings of measured images, optionally of these paths only. Thread-safe."""

    def __init__(self, only: frozenset[str] | None = None) -> None:
        self._only = only
        self._paths: list[str] = []
        self._values = array("f")
        self._lock = threading.Lock()

    def add(self, path: str, embedding: NDArray[np.float32]) -> None:
        """Add the embedding of one image, of shape (EMBEDDING_SIZE,)."""
        if self._only is not None and path not in self._only:
            return
        with self._lock:
            self._paths.append(path)
            self._values.frombytes(embedding.tobytes())

    def table(self) -> EmbeddingTable:
        """Return all embeddings so far, sorted by path, so that they do not depend on the number of threads."""
        with self._lock:
            paths = list(self._paths)
            values = np.frombuffer(self._values.tobytes(), np.float32).reshape(len(paths), EMBEDDING_SIZE)
        order = sorted(range(len(paths)), key=paths.__getitem__)
        return EmbeddingTable(tuple(paths[row] for row in order), values[order])

"""Embeddings of the measured images, collected during the bulk pass: 256 bytes per image."""

from __future__ import annotations

import threading
from array import array
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.detector.contract import EMBEDDING_SIZE


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingTable:
    """One row per image, sorted by path; `values`, of shape (images, EMBEDDING_SIZE), may not be finite."""

    paths: tuple[str, ...]
    values: NDArray[np.float32]


class EmbeddingCollector:
    """Collects the embeddings of measured images. Thread-safe."""

    def __init__(self) -> None:
        self._paths: list[str] = []
        self._values = array("f")
        self._lock = threading.Lock()

    def add(self, path: str, embedding: NDArray[np.float32]) -> None:
        """Add the embedding of one image, of shape (EMBEDDING_SIZE,)."""
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

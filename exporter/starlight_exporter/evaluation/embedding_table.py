"""Embeddings of measured images, collected during the bulk pass: 256 bytes per image and the objects that hold them.

Of a large dataset, embeddings and facts (`dataset.facts`) are collected of one random sample.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.dataset.dataset import LabelledFile
from starlight_exporter.detector.contract import EMBEDDING_SIZE

MAX_IMAGES: Final = 50_000
"""More embeddings and facts would take memory that a worker does not have, without more precise results."""


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingTable:
    """One row per image, sorted by path; `values`, of shape (images, EMBEDDING_SIZE), may not be finite."""

    paths: tuple[str, ...]
    values: NDArray[np.float32]


def sampled_paths(files: Sequence[LabelledFile], *, seed: int, limit: int = MAX_IMAGES) -> frozenset[str] | None:
    """Return the paths of at most `limit` clean and stego files, chosen at random; None if there are not more."""
    # Positions, because a list of all paths takes 100 bytes per image.
    places = array("q", (place for place, file in enumerate(files) if file.file_class != "negative"))
    if len(places) <= limit:
        return None
    return frozenset(files[place].path for place in random.Random(seed).sample(places, limit))


class EmbeddingCollector:
    """Collects the embeddings of measured images, optionally of these paths only. Thread-safe."""

    def __init__(self, only: frozenset[str] | None = None) -> None:
        self._only = only
        self._rows: list[tuple[str, NDArray[np.float32]]] = []

    def add(self, path: str, embedding: NDArray[np.float32]) -> None:
        """Add the embedding of one image, of shape (EMBEDDING_SIZE,). It is not copied."""
        if self._only is None or path in self._only:
            # One append needs no lock, and takes a tenth of the time of copying the values.
            self._rows.append((path, embedding))

    def table(self) -> EmbeddingTable:
        """Return all embeddings so far, sorted by path, so that they do not depend on the number of threads."""
        rows = sorted(self._rows, key=itemgetter(0))
        values = np.array([embedding for _, embedding in rows], np.float32).reshape(len(rows), EMBEDDING_SIZE)
        return EmbeddingTable(tuple(path for path, _ in rows), values)

"""Embeddings of measured images, collected during the bulk pass: 256 bytes per image.

Of a large dataset, embeddings and facts (`dataset.facts`) are collected of one random sample.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.dataset.found_files import FoundFiles
from starlight_exporter.detector.contract import EMBEDDING_SIZE

MAX_IMAGES: Final = 50_000
"""More embeddings and facts would take memory that a worker does not have, without more precise results."""


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingTable:
    """One row per image, in the order of their `numbers` in the listing.

    `values`, of shape (images, EMBEDDING_SIZE), may not be finite.
    """

    numbers: NDArray[np.int64]
    values: NDArray[np.float32]


def sampled_numbers(files: FoundFiles, *, seed: int, limit: int = MAX_IMAGES) -> NDArray[np.int64] | None:
    """Return the numbers of at most `limit` images that are no negatives, chosen at random and ascending.

    None if there are not more.
    """
    numbers = files.of_class("clean", "stego", "unlabelled")
    if len(numbers) <= limit:
        return None
    return np.sort(numbers[random.Random(seed).sample(range(len(numbers)), limit)])


class EmbeddingCollector:
    """Collects embeddings of measured images, in the order of their numbers."""

    def __init__(self) -> None:
        self._numbers = array("q")
        self._values: list[NDArray[np.float32]] = []

    def add(self, numbers: Sequence[int], values: NDArray[np.float32]) -> None:
        """Add the embeddings of images, of shape (images, EMBEDDING_SIZE). They are not copied."""
        self._numbers.extend(numbers)
        self._values.append(values)

    def table(self) -> EmbeddingTable:
        """Return all embeddings so far."""
        values = np.concatenate([np.zeros((0, EMBEDDING_SIZE), np.float32), *self._values])
        return EmbeddingTable(np.array(self._numbers, np.int64), values)

"""A fixed result of embeddings with all parts, and embeddings of generated classes, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.detector.contract import EMBEDDING_SIZE, METHODS
from starlight_exporter.evaluation.embedding_results import (
    EMBEDDING_CLASSES,
    ClassEmbeddings,
    EmbeddingResult,
    LinearProbe,
)
from starlight_exporter.evaluation.embedding_table import EmbeddingTable
from starlight_exporter.evaluation.results import FileFacts, Prediction
from starlight_exporter.statistics.intervals import Interval, proportion
from support.results import make_prediction

EMBEDDINGS: Final = EmbeddingResult(
    images=4_779,
    not_finite=3,
    measured=4_782,
    not_measured=None,
    explained_variance=(0.41, 0.17),
    silhouette=0.362,
    silhouette_images=1_980,
    probe=LinearProbe(proportion(4_560, 4_770), Interval(0.917, 0.902, 0.931), 0.8386, 5),
    classes={
        "alpha": ClassEmbeddings(200, 180, 0.71, 200, proportion(199, 200)),
        "palette": ClassEmbeddings(200, 190, -0.12, 200, proportion(104, 200)),
        "lsb": ClassEmbeddings(200, 170, 0.44, 200, proportion(181, 200)),
        "exif": ClassEmbeddings(170, 160, 0.52, 170, proportion(168, 170)),
        "eoi": ClassEmbeddings(9, 9, not_measured="few_images"),
        "clean": ClassEmbeddings(4_000, 4_000, 0.36, 1_210, proportion(3_908, 4_000)),
    },
)


def example_images(
    counts: Mapping[str, int], *, distance: float = 1.0, files_per_cover: int = 2, seed: int = 0
) -> tuple[list[Prediction], NDArray[np.float32]]:
    """Return predictions of the classes, and embeddings around one random centre per class, in the same order.

    `distance` is that of the centres in standard deviations of a dimension; files of one cover can have any class.
    """
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(len(EMBEDDING_CLASSES), EMBEDDING_SIZE)) * distance
    names = rng.permutation([name for name, count in counts.items() for _ in range(count)])
    predictions = [example_image(number, str(name), number // files_per_cover) for number, name in enumerate(names)]
    places = [EMBEDDING_CLASSES.index(name) for name in names]
    return predictions, (centres[places] + rng.normal(size=(len(names), EMBEDDING_SIZE))).astype(np.float32)


def example_image(number: int, name: str, cover: int) -> Prediction:
    """Return the measured prediction of an image of a class."""
    method = next((method for method in METHODS if method == name), None)
    one = make_prediction(f"{number:05d}.png", "clean" if method is None else "stego", 0.75, method=method)
    return replace(one, facts=FileFacts(cover=f"cover {cover}"))


def table(predictions: list[Prediction], values: NDArray[np.float32]) -> EmbeddingTable:
    """Return the embeddings as the bulk pass collects them."""
    return EmbeddingTable(np.arange(len(predictions)), values)

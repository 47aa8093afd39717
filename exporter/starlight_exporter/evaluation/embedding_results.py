"""Result types of the embeddings of a model: separation of the methods, and a projection on two components."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.detector.contract import METHODS
from starlight_exporter.errors import StorageError
from starlight_exporter.file_access import read_content
from starlight_exporter.statistics.intervals import Interval, Proportion

EMBEDDING_CLASSES: Final = (*METHODS, "clean")

MIN_IMAGES: Final = 10
MIN_COVERS: Final = 5
"""A class with fewer images or covers is not measured: too few for five folds of different covers."""
MAX_SAMPLE: Final = 1_200
"""Images of the silhouettes and of the stored projection; of more, equal numbers of each class as far as possible."""

EmbeddingReason = Literal[
    "no_output", "unsupported_output", "no_images", "not_finite", "constant", "one_cover", "one_class", "few_images"
]
EMBEDDING_REASONS: Final[tuple[EmbeddingReason, ...]] = get_args(EmbeddingReason)
"""Why the separation is not measured. not_finite: no image has a finite embedding; constant: all embeddings are equal;
few_images: fewer than two classes have MIN_IMAGES images from MIN_COVERS covers."""

ClassReason = Literal["no_images", "few_images", "few_covers"]
CLASS_REASONS: Final[tuple[ClassReason, ...]] = get_args(ClassReason)
"""Why a class is not measured: fewer than MIN_IMAGES images, or than MIN_COVERS covers."""


@dataclass(frozen=True, slots=True)
class ClassEmbeddings:
    """Embeddings of one class: a method, or clean images. `images` have a finite embedding, from `covers` covers.

    `silhouette` is the mean of `silhouette_images` images. `recall` is the share of images whose class the probe
    predicts. All of them are None or 0 if the class is not measured, for this reason.
    """

    images: int
    covers: int
    silhouette: float | None = None
    silhouette_images: int = 0
    recall: Proportion | None = None
    not_measured: ClassReason | None = None


@dataclass(frozen=True, slots=True)
class LinearProbe:
    """Out-of-sample predictions of a linear classifier of the measured classes.

    `largest_class` is the accuracy without any embedding: the share of the largest class among the same images.
    """

    accuracy: Proportion
    balanced_accuracy: Interval
    largest_class: float
    folds: int


@dataclass(frozen=True, slots=True)
class EmbeddingResult:
    """Separation of clean images and methods in the embeddings of a model.

    `images` are measured clean and stego images with a finite embedding, `not_finite` those without; both are a random
    sample of the `measured` ones if there are more than the limit of the bulk pass (50,000). `silhouette` is
    the mean over the images of all measured classes, estimated from `silhouette_images`. `explained_variance` are the
    shares of the two components of the projection, None without a projection. `classes` has every name of
    EMBEDDING_CLASSES, and is empty for a model without embeddings. Silhouette and probe are None if the separation is
    not measured; `detail` explains the reason.
    """

    images: int
    not_finite: int
    measured: int
    not_measured: EmbeddingReason | None
    detail: str = ""
    explained_variance: tuple[float, float] | None = None
    silhouette: float | None = None
    silhouette_images: int = 0
    probe: LinearProbe | None = None
    classes: dict[str, ClassEmbeddings] = field(default_factory=dict)


PROJECTED_IMAGE: Final = np.dtype([("number", "<i4"), ("x", "<f8"), ("y", "<f8"), ("silhouette", "<f8")])
_MAX_FILE_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """Sampled images on two principal components: an array of PROJECTED_IMAGE, shape (images,).

    `number` is the position of the prediction in the evaluation; `silhouette` is NaN if it was not measured.
    """

    images: NDArray[np.void]

    def to_bytes(self) -> bytes:
        """Return the projection as a file in NumPy's format."""
        file = io.BytesIO()
        np.save(file, self.images, allow_pickle=False)
        return file.getvalue()


def read_projection(path: Path) -> Projection:
    """Return a stored projection. Raise StorageError if it cannot be read or is damaged."""
    try:
        content = read_content(path, max_bytes=_MAX_FILE_BYTES).data
        images = np.load(io.BytesIO(content), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise StorageError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if images.ndim != 1 or images.dtype != PROJECTED_IMAGE:
        raise StorageError(f"{path}: damaged: expected images with {', '.join(PROJECTED_IMAGE.names or ())}")
    if not (np.isfinite(images["x"]).all() and np.isfinite(images["y"]).all() and (images["number"] >= 0).all()):
        raise StorageError(f"{path}: damaged: contains values that are not finite")
    return Projection(images)

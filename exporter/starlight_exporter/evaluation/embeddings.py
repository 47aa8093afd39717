"""Separation of clean images and methods in the embeddings of a model, and a projection of the images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.detector.contract import METHODS
from starlight_exporter.evaluation.embedding_results import (
    EMBEDDING_CLASSES,
    MAX_SAMPLE,
    MIN_COVERS,
    MIN_IMAGES,
    PROJECTED_IMAGE,
    ClassEmbeddings,
    ClassReason,
    EmbeddingReason,
    EmbeddingResult,
    LinearProbe,
    Projection,
)
from starlight_exporter.evaluation.embedding_table import EmbeddingTable
from starlight_exporter.evaluation.prediction_arrays import MISSING
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.results import Prediction
from starlight_exporter.statistics.balanced_accuracy import balanced_accuracy
from starlight_exporter.statistics.class_samples import balanced_sample
from starlight_exporter.statistics.clustered import ClusterCounts, clustered_proportion
from starlight_exporter.statistics.linear_probe import FOLDS, out_of_sample_labels
from starlight_exporter.statistics.principal_components import principal_components
from starlight_exporter.statistics.roc import cover_numbers
from starlight_exporter.statistics.silhouette import silhouettes


def measure_embeddings(
    predictions: Sequence[Prediction], table: EmbeddingTable, problem: str | None, *, seed: int
) -> tuple[EmbeddingResult, Projection | None]:
    """Return the separation of the classes and the projected images, None if the images cannot be projected.

    `problem` is why the model has no usable embedding: empty for no output, None if it has one. Negatives are excluded.
    """
    known, measured = _known_images(PredictionTable.of(predictions), table)
    if problem is not None:
        reason: EmbeddingReason = "unsupported_output" if problem else "no_output"
        text = problem or "the model has no output embedding"
        return EmbeddingResult(0, 0, measured, reason, text), None
    finite = np.all(np.isfinite(known.values), axis=1)
    images = known.subset(finite)
    result = EmbeddingResult(
        images=len(images.labels),
        not_finite=int(np.count_nonzero(~finite)),
        measured=measured,
        not_measured=None,
        classes=dict(zip(EMBEDDING_CLASSES, _class_counts(images), strict=True)),
    )
    obstacle = _obstacle(images, result)
    result = result if obstacle is None else replace(result, not_measured=obstacle[0], detail=obstacle[1])
    if not _differ(images):
        return result, None
    components = principal_components(images.values)
    first, second = components.variance_shares
    sample = balanced_sample(images.labels, MAX_SAMPLE, seed=seed)
    projected = np.zeros(len(sample), PROJECTED_IMAGE)
    projected["number"] = images.numbers[sample]
    projected["x"], projected["y"] = components.coordinates[sample].T
    projected["silhouette"] = np.nan
    result = replace(result, explained_variance=(first, second))
    if result.not_measured is None:
        classes = [name for name, one in result.classes.items() if one.not_measured is None]
        of_classes = np.isin(images.labels, [EMBEDDING_CLASSES.index(name) for name in classes])
        of_sample = of_classes[sample]
        projected["silhouette"][of_sample] = _silhouettes(images, sample[of_sample])
        result = _with_silhouettes(result, classes, images.labels[sample], projected["silhouette"])
        result = _with_probe(result, classes, images.subset(of_classes), seed)
    return result, Projection(projected)


@dataclass(frozen=True, slots=True, eq=False)
class _Images:
    """Embeddings, shape (images, dimensions), with one class, cover and position in the evaluation per image."""

    values: NDArray[np.float32]
    labels: NDArray[np.int64]
    covers: NDArray[np.int64]
    numbers: NDArray[np.int64]

    def subset(self, chosen: NDArray[np.bool_]) -> _Images:
        if chosen.all():
            return self
        return _Images(self.values[chosen], self.labels[chosen], self.covers[chosen], self.numbers[chosen])


def _known_images(predictions: PredictionTable, table: EmbeddingTable) -> tuple[_Images, int]:
    """Return the measured clean and stego images with an embedding, and the number of those with and without one."""
    every = _labels(predictions)
    rows = np.flatnonzero(every[table.numbers] != MISSING)
    chosen = table.numbers[rows]
    covers = cover_numbers(predictions.column("cover")[chosen])
    return _Images(table.values[rows], every[chosen], covers, chosen), int(np.count_nonzero(every != MISSING))


def _labels(predictions: PredictionTable) -> NDArray[np.int64]:
    """Return the place of each measured image in EMBEDDING_CLASSES, MISSING if it has none, of shape (images,)."""
    labels = np.full(len(predictions), MISSING, np.int64)
    stego = predictions.equals("file_class", "stego")
    for place, name in enumerate(EMBEDDING_CLASSES):
        own = stego & predictions.equals("method", name) if name in METHODS else predictions.equals("file_class", name)
        labels[own & predictions.measured] = place
    return labels


def _class_counts(images: _Images) -> Iterable[ClassEmbeddings]:
    for label in range(len(EMBEDDING_CLASSES)):
        own = images.labels == label
        count, covers = int(np.count_nonzero(own)), len(np.unique(images.covers[own]))
        reason: ClassReason | None = None
        if count < MIN_IMAGES:
            reason = "few_images" if count else "no_images"
        elif covers < MIN_COVERS:
            reason = "few_covers"
        yield ClassEmbeddings(count, covers, not_measured=reason)


def _obstacle(images: _Images, result: EmbeddingResult) -> tuple[EmbeddingReason, str] | None:
    """Return why the separation cannot be measured."""
    if not result.images:
        if result.not_finite:
            return "not_finite", f"no embedding of {result.not_finite} images is finite"
        return "no_images", "no clean or stego image was measured"
    present = [name for name, one in result.classes.items() if one.images]
    covers = len(np.unique(images.covers))
    measurable = sum(one.not_measured is None for one in result.classes.values())
    checks: tuple[tuple[bool, EmbeddingReason, str], ...] = (
        (result.images > 1 and not _differ(images), "constant", "all embeddings are equal"),
        (len(present) == 1, "one_class", f"all images are {present[0]}"),
        (covers == 1, "one_cover", "all images were made from one cover"),
        (measurable < 2, "few_images", f"fewer than 2 classes have {MIN_IMAGES} images from {MIN_COVERS} covers"),
    )
    return next(((reason, text) for applies, reason, text in checks if applies), None)


def _differ(images: _Images) -> bool:
    return bool((images.values[1:] != images.values[:1]).any())


def _silhouettes(images: _Images, sample: NDArray[np.int64]) -> NDArray[np.float64]:
    return silhouettes(images.values[sample], images.labels[sample])


def _with_silhouettes(
    result: EmbeddingResult, classes: Sequence[str], labels: NDArray[np.int64], values: NDArray[np.float64]
) -> EmbeddingResult:
    """Add the mean of each class, and their mean by the number of images of each class.

    The sample has equal numbers of each class, so that its own mean would be that of another mixture.
    """
    measured = dict(result.classes)
    for name in classes:
        own = values[labels == EMBEDDING_CLASSES.index(name)]
        measured[name] = replace(measured[name], silhouette=float(own.mean()), silhouette_images=len(own))
    weights = [measured[name].images for name in classes]
    means = [one.silhouette for one in measured.values() if one.silhouette is not None]
    return replace(
        result,
        silhouette=float(np.average(means, weights=weights)),
        silhouette_images=sum(one.silhouette_images for one in measured.values()),
        classes=measured,
    )


def _with_probe(result: EmbeddingResult, classes: Sequence[str], images: _Images, seed: int) -> EmbeddingResult:
    predicted = out_of_sample_labels(images.values, images.labels, images.covers, seed=seed)
    correct = predicted == images.labels
    measured = dict(result.classes)
    for name in classes:
        own = images.labels == EMBEDDING_CLASSES.index(name)
        recall = clustered_proportion(ClusterCounts.by_cover(images.covers[own], correct[own]))
        measured[name] = replace(measured[name], recall=recall)
    probe = LinearProbe(
        accuracy=clustered_proportion(ClusterCounts.by_cover(images.covers, correct)),
        balanced_accuracy=balanced_accuracy(correct, images.labels, images.covers),
        largest_class=float(np.bincount(images.labels).max() / len(correct)),
        folds=FOLDS,
    )
    return replace(result, probe=probe, classes=measured)

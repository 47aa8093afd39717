"""Statistics of all images of a run, computed from the columns of their predictions."""

from __future__ import annotations

from dataclasses import dataclass

from starlight_exporter.dataset.dataset import DatasetQuality
from starlight_exporter.evaluation.accuracy import Accuracy, accuracy
from starlight_exporter.evaluation.figures import figures
from starlight_exporter.evaluation.payload import by_payload
from starlight_exporter.evaluation.payload_results import PayloadResult
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.quality import measure_quality
from starlight_exporter.models.training_files import Manifest, leaked_images
from starlight_exporter.statistics.figure_intervals import FiguresOfMerit


@dataclass(frozen=True, slots=True)
class ImageStatistics:
    """Statistics of all images, as in Evaluation. What needs labels is None for an unlabelled dataset."""

    accuracy: Accuracy
    quality: DatasetQuality
    leaked_images: int | None
    payload: PayloadResult | None
    figures: FiguresOfMerit | None


def image_statistics(
    table: PredictionTable, manifest: Manifest | None, *, ignored_files: int, labelled: bool, seed: int
) -> ImageStatistics:
    """Compute the statistics of a table, and free its columns. `manifest` are the training files, None if unknown.

    One statistic follows the other, so that not all columns and intermediate results are in memory together.
    """
    counts = accuracy(table)
    quality = measure_quality(table, ignored_files=ignored_files)
    leaked = leaked_images(table.content_prefixes(), manifest) if labelled and manifest is not None else None
    payload = by_payload(table) if labelled else None
    table.release()
    curves = figures(table, seed=seed) if labelled else None
    table.release()
    return ImageStatistics(counts, quality, leaked, payload, curves)

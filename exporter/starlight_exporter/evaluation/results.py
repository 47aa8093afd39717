"""Result types of an evaluation: immutable; rates keep their counts; a value that was not measured is None."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import AliasChoices, Field

from starlight_exporter.dataset.dataset import DatasetQuality, FileClass
from starlight_exporter.dataset.shortcuts import Shortcut
from starlight_exporter.detector.contract import ImageFormat, Method
from starlight_exporter.errors import NotMeasuredReason
from starlight_exporter.evaluation.drift import DriftSample
from starlight_exporter.evaluation.embedding_results import EmbeddingResult, Projection
from starlight_exporter.evaluation.payload_results import PayloadResult
from starlight_exporter.evaluation.spec import EvaluationSpec
from starlight_exporter.evaluation.unlabelled import UnlabelledResult
from starlight_exporter.models.cards import Origin
from starlight_exporter.models.roles import Role
from starlight_exporter.models.training_log import TrainingHealth
from starlight_exporter.statistics.figure_intervals import FiguresOfMerit
from starlight_exporter.statistics.intervals import Proportion
from starlight_exporter.statistics.latency_ratio import LatencyRatio

if TYPE_CHECKING:
    import pandas as pd

LatencyStage = Literal["read", "decode", "features", "inference", "total"]
LATENCY_STAGES: Final[tuple[LatencyStage, ...]] = get_args(LatencyStage)


@dataclass(frozen=True, slots=True)
class Provenance(EvaluationSpec):
    """The spec of an evaluation, and the seed of its random samples."""

    seed: int


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The model file that was loaded; times are UTC seconds."""

    file: str
    size_bytes: int
    modified_at: float
    loaded_at: float
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """False positives and detections at `probability > threshold`."""

    threshold: float
    false_positives: Proportion
    detections: Proportion


@dataclass(frozen=True, slots=True)
class LatencyQuantile:
    """An order statistic of one latency run, in seconds.

    `lower` and `upper` are the order statistics that bound the quantile with 95% confidence for any distribution; None
    if the sample is too small for that bound.
    """

    quantile: float
    seconds: float
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """Latency of single images from file to verdict (read, decode, features, inference), one timing per image.

    The files were read once before. A quantile is omitted if the sample is too small; `throughput` is in images per
    second, one at a time. `contention` is the share of wall time that the timed thread did not run, None in results of
    versions that did not record it.
    """

    images: int
    quantiles: tuple[LatencyQuantile, ...]
    stage_means: dict[LatencyStage, float]
    throughput: float
    contention: float | None = None


@dataclass(frozen=True, slots=True)
class Execution:
    """How the bulk pass was executed; this never changes a result.

    `full_model_reason` is why the model was not run in stages, None if it was. `cache_bytes` is the size of the cache
    after the run, None without a cache on this host; `cache_problem` is why decoded images could not be stored, None if
    they were. `processors` are those that computed the scores: others may differ in the last bit. It is empty in
    results of versions that did not record it.
    `batch` is the number of images per call of the full model, None in stages and in results of earlier versions.
    """

    full_model_reason: Annotated[str | None, Field(validation_alias=AliasChoices("full_model_reason", "whole_because"))]
    cached_images: int
    decoded_images: int
    cache_bytes: int | None
    cache_problem: str | None
    engine: str = "local"
    processors: tuple[str, ...] = ()
    batch: int | None = None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Result of one model on one dataset. Times are UTC seconds, durations seconds, ratios 0..1.

    `images` counts the files of the dataset, measured or not; `not_measured` has every reason. `images_per_second` is
    the rate of measured images in the bulk pass.
    `detections` has every method, `clean_by_format` every format of the clean files, `negatives` every category of the
    dataset; an empty slice is a Proportion with total 0.
    `confusion[actual][predicted]` counts measured images by method or `clean`; it is empty for a model that predicts no
    method. AUC, log loss and calibration error cover clean and stego images, not negatives, whose mixture is arbitrary.
    `shortcuts` has the methods of which the dataset has enough files. `leaked_images` counts files of the training set,
    None if the training set is unknown. `origin` is None without a model card, `execution` in results of versions that
    did not record it. `latency_ratio` is None without a baseline model that was timed in the same run. `figures`
    covers clean and stego images. `figures` and `payload` are None in results of versions that did not measure them.
    `embeddings` covers clean and stego images too; it is None in results of versions that did not measure embeddings.
    `unlabelled` is set if the dataset is unlabelled: then no rate has an image, and nothing is timed.
    `replaced_decision` is the requested decision rule if it needs a method and the model predicts none, otherwise None.
    `after_provisional` is whether a sample of the images was checked before, with a share of the significance level.
    """

    id: str
    model: str
    role: Role
    dataset: str
    trigger: str
    provenance: Provenance
    model_facts: ModelFacts
    started_at: float
    finished_at: float
    duration_seconds: float
    images: int
    images_per_second: float
    not_measured: dict[NotMeasuredReason, int]
    clean: Proportion
    clean_by_format: dict[ImageFormat, Proportion]
    negatives: dict[str, Proportion]
    stego: Proportion
    detections: dict[Method, Proportion]
    confusion: dict[str, dict[str, int]]
    roc_auc: float | None
    log_loss: float | None
    expected_calibration_error: float | None
    operating_points: tuple[OperatingPoint, ...]
    latency: LatencySummary | None
    quality: DatasetQuality
    training: TrainingHealth | None
    execution: Execution | None = None
    shortcuts: dict[Method, Shortcut] = field(default_factory=dict)
    leaked_images: int | None = None
    origin: Origin | None = None
    latency_ratio: LatencyRatio | None = None
    payload: PayloadResult | None = None
    figures: FiguresOfMerit | None = None
    unlabelled: UnlabelledResult | None = None
    embeddings: EmbeddingResult | None = None
    replaced_decision: str | None = None
    after_provisional: bool = False

    @property
    def requested_decision(self) -> str:
        """The decision rule that was requested, as text; the provenance has the one that was applied."""
        return self.provenance.decision if self.replaced_decision is None else self.replaced_decision

    def to_frame(self) -> pd.DataFrame:
        """Return the rates as a pandas data frame with one row per metric and slice.

        Columns: metric (`false_positive_rate`, `negatives_false_positive_rate`, `detection_rate`, `alarm_rate` of
        unlabelled images, a figure of merit, or `embedding_probe_accuracy` and `embedding_probe_recall`), slice (`all`,
        a format, category, method or class; of metrics such as `detection_rate_by_embedding_rate` or
        `false_positive_rate_by_source` a bin or value), count (<NA> for a figure of merit, whose total is the number of
        clean and stego images), total, rate, ci_low and ci_high (95% interval; NaN if nothing was measured), then
        evaluation_id, model, dataset, finished_at, model_sha256, dataset_fingerprint and decision. Predictions of
        single images are not part of an Evaluation. Raise DependencyError if pandas is not installed.
        """
        # pandas is optional, and takes a second to import.
        from starlight_exporter.evaluation.frame import to_frame

        return to_frame(self)


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Properties of a file; None if it was not decoded or its labels do not state them.

    `mode` is Pillow's image mode; `exif_bytes` and `tail_bytes` are lengths before truncation; `bit_order`,
    `payload_bytes`, `cover` (a name that files of one cover share) and `source` (of the cover) are from the sidecar or
    the label manifest. `reaches_crop` (whether the payload reaches the centre crop) is stated there or computed.
    """

    size_bytes: int | None = None
    width: int | None = None
    height: int | None = None
    mode: str | None = None
    exif_bytes: int | None = None
    tail_bytes: int | None = None
    bit_order: str | None = None
    payload_bytes: int | None = None
    cover: str | None = None
    source: str | None = None
    reaches_crop: bool | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """Prediction of the model for one file; `probability` and `verdict` are None if it was not measured."""

    path: str
    sha256: str
    file_class: FileClass
    method: Method | None
    category: str | None
    image_format: ImageFormat | None
    probability: float | None
    predicted_method: Method | None
    verdict: bool | None
    not_measured: NotMeasuredReason | None
    detail: str
    seconds: float | None
    facts: FileFacts = FileFacts()


@dataclass(frozen=True, slots=True)
class LatencyObservations:
    """Seconds of every stage and CPU seconds of the total, each an array of shape (images,) in sample order.

    `paths` are the paths of the images in the dataset, in the same order; empty if they are unknown.
    """

    seconds: dict[LatencyStage, NDArray[np.float64]]
    cpu: NDArray[np.float64]
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunResult:
    """Result of one run: the Evaluation and the predictions and timings behind it.

    `predictions` of a run are a PredictionTable. `warnings` are problems that did not fail the run, such as an invalid
    training log. `drift_sample` are the clean images of a labelled dataset, with which unlabelled images can be
    compared; None for an unlabelled dataset. `projection` are images of a labelled dataset on two components of their
    embeddings, None if there is none.
    """

    evaluation: Evaluation
    predictions: Sequence[Prediction]
    latency: LatencyObservations | None
    warnings: tuple[str, ...] = ()
    drift_sample: DriftSample | None = None
    projection: Projection | None = None

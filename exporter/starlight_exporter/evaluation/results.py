"""Result types of an evaluation run: immutable, counts before ratios, "not measured" is None, never a zero."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.dataset.dataset import DatasetQuality, FileClass
from starlight_exporter.dataset.shortcuts import Shortcut
from starlight_exporter.detector.contract import ImageFormat, Method
from starlight_exporter.errors import NotMeasuredReason
from starlight_exporter.evaluation.spec import EvaluationSpec
from starlight_exporter.models.cards import Origin
from starlight_exporter.models.roles import Role
from starlight_exporter.models.training_log import TrainingHealth
from starlight_exporter.statistics.intervals import Proportion

Stage = Literal["read", "decode", "features", "inference", "total"]
STAGES: tuple[Stage, ...] = ("read", "decode", "features", "inference", "total")


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
    """False positives among clean and detections among stego images at `probability > threshold`."""

    threshold: float
    false_positives: Proportion
    detections: Proportion


@dataclass(frozen=True, slots=True)
class LatencyQuantile:
    """An exact order statistic of the last latency run, in seconds.

    `lower` and `upper` are the order statistics that enclose the quantile with 95 % confidence, whatever the
    distribution; None where the sample is too small for that bound.
    """

    quantile: float
    seconds: float
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """One image at a time, file bytes to verdict, on an otherwise idle process.

    A quantile that the sample is too small for is left out; `throughput` is images per second, one at a time.
    """

    images: int
    quantiles: tuple[LatencyQuantile, ...]
    stage_means: dict[Stage, float]
    throughput: float


@dataclass(frozen=True, slots=True)
class Execution:
    """How the bulk pass went about it; none of this may change a number.

    `whole_because` says why the model was not cut into stages, None if it was. Of the images that were asked for,
    `cached_images` came out of the cache and `decoded_images` did not; `cache_bytes` is what the cache held in the end,
    None where none is configured; `cache_problem` is why it could not keep what was decoded, None if it could.
    """

    whole_because: str | None
    cached_images: int
    decoded_images: int
    cache_bytes: int | None
    cache_problem: str | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One model over one dataset. Times are UTC seconds, durations seconds, ratios 0..1.

    `confusion[actual][predicted]` counts measured images; both sides are contract methods plus `clean`
    (actual `clean`: clean images; predicted `clean`: verdict negative).
    `detections` has every contract method, `clean_by_format` every format that occurs among clean files,
    `negatives` every category that occurs; an empty slice is a Proportion with total 0.
    `images` counts the files of the dataset, measured or not; `not_measured` has every reason, and
    `images_per_second` is that of the measured images during the bulk pass. `confusion` is empty for a model that
    predicts no method. AUC, log loss and calibration are over clean and stego images, not over negatives, whose
    mixture is arbitrary. `execution` is None for results that were stored before it was recorded.
    `shortcuts` has the methods that the dataset holds enough files of; `leaked_images` counts files that the model was
    trained on, and is None where the model does not say what it was trained on. `origin` is None where no card tells.
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


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a file is, apart from what the model says of it; None where it was not decoded or its sidecar is silent.

    `mode` is the decoder's; `exif_bytes` and `tail_bytes` are the lengths before anything is cut; `bit_order` and
    `payload_bytes` are told by the sidecar of a stego file.
    """

    size_bytes: int | None = None
    width: int | None = None
    height: int | None = None
    mode: str | None = None
    exif_bytes: int | None = None
    tail_bytes: int | None = None
    bit_order: str | None = None
    payload_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model said of one file; `probability` and the verdict are None where not measured."""

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
    """Seconds per stage, one array of shape (images,) each, in sample order."""

    seconds: dict[Stage, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class RunResult:
    """What one run hands back: the Evaluation, and the raw material that publishers keep beside it.

    `warnings` are lines for the log: what went wrong without failing the run (a broken training log, for example).
    """

    evaluation: Evaluation
    predictions: tuple[Prediction, ...]
    latency: LatencyObservations | None
    warnings: tuple[str, ...] = ()

"""Label names of the metric families and the values that they can take."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from starlight_exporter.analysis.comparison import FLIP_DIRECTIONS
from starlight_exporter.checks.results import UNAVAILABLE_REASONS
from starlight_exporter.dataset.dataset import LABELLED_CLASSES
from starlight_exporter.detector.contract import FORMATS, METHODS, STREAMS
from starlight_exporter.errors import MODEL_FAILURE_REASONS, NOT_MEASURED_REASONS
from starlight_exporter.evaluation.drift import DRIFT_UNAVAILABLE_REASONS, DRIFT_VARIABLES
from starlight_exporter.evaluation.embedding_results import CLASS_REASONS, EMBEDDING_REASONS
from starlight_exporter.evaluation.payload_results import (
    DETECTION_LEVELS,
    MAX_SOURCES,
    OTHER_SOURCES,
    SLICE_PROPERTIES,
)
from starlight_exporter.evaluation.results import LATENCY_STAGES
from starlight_exporter.models.roles import ROLES
from starlight_exporter.publish.families.training import CURVE_EPOCHS
from starlight_exporter.publish.snapshot import ANALYSES, OUTCOMES, STORES
from starlight_exporter.statistics.figure_intervals import FIGURE_REASONS
from starlight_exporter.statistics.figures_of_merit import FIGURES

_METHODS = ", ".join(METHODS)

LABELS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "actual": f"{_METHODS}, clean; of reasons also empty: all classes",
        "against": "name of the baseline model, or `previous`: the previous file of the same model",
        "analysis": ", ".join(ANALYSES),
        "card": "directory of the model's card, or of the card of a model with the same bytes; empty without a card",
        "category": "category of hard negatives: directory name in the dataset",
        "check": "name of a regression check",
        "class": f"{', '.join(LABELLED_CLASSES)}; of comparisons also {_METHODS}: stego files of one method",
        "dataset": "name of a configured dataset",
        "dataset_fingerprint": "first 12 digits of the dataset's SHA-256 fingerprint",
        "decision": "the decision rule as text",
        "detection": f"{', '.join(f'{level:g}' for level in DETECTION_LEVELS)}: a detection rate; empty for all",
        "direction": ", ".join(FLIP_DIRECTIONS),
        "embedding_rate": "range of embedding rates, such as `0.01 to 0.02`, in the unit of the method",
        "epoch": f"number of an epoch of the training log; at most {CURVE_EPOCHS} per model",
        "execution_provider": "execution providers of ONNX Runtime that ran the model, with their options",
        "external_url": "`--web.external-url` with a trailing slash, empty without it",
        "figure": ", ".join(FIGURES),
        "fact": f"{', '.join(DRIFT_VARIABLES)} (only of drift: the probability that the model returns)",
        "file": "path of the model file: relative to the configuration's directory if below it, otherwise absolute",
        "fingerprint": "first 12 digits of the dataset's SHA-256 fingerprint",
        "format": f"{', '.join(FORMATS)}, other, unknown (as decoded, independent of the file name)",
        "grafana_url": "`--web.grafana-url` with a trailing slash, empty without it",
        "method": _METHODS,
        "model": "name of a configured model",
        "model_sha256": "first 12 digits of the model file's SHA-256",
        "onnxruntime": "version",
        "outcome": ", ".join(OUTCOMES),
        "predicted": f"{_METHODS}, clean",
        "property": ", ".join(SLICE_PROPERTIES),
        "python": "version",
        "quantile": "0.5, 0.95, 0.99",
        "rate": "false_positive, or the method of a detection rate",
        "reason": f"images: {', '.join(NOT_MEASURED_REASONS)}; model files: {', '.join(MODEL_FAILURE_REASONS)}; checks:"
        f" {', '.join(UNAVAILABLE_REASONS)}; figures of merit: {', '.join(FIGURE_REASONS)};"
        f" drift: {', '.join(DRIFT_UNAVAILABLE_REASONS)}; embeddings: {', '.join(EMBEDDING_REASONS)}, of a class"
        f" {', '.join(CLASS_REASONS)}; embedding rates: a text",
        "reference": "name of the labelled dataset that is the drift reference",
        "revision": "source revision",
        "role": ", ".join(ROLES),
        "section": "part of the metrics that is collected separately",
        "sha256": "first 12 digits of the model file's SHA-256",
        "slice": "method, format, category or latency quantile (p95) that the check applies to; empty for all images",
        "split": "train, validation",
        "stage": ", ".join(LATENCY_STAGES),
        "store": ", ".join(STORES),
        "stream": ", ".join(STREAMS),
        "threshold": "probability above which an image is classified as stego",
        "value": f"value of the property; of `source` at most {MAX_SOURCES} per dataset, the rest as `{OTHER_SOURCES}`",
        "version": "version",
    }
)

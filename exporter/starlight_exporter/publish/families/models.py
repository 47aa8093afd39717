"""Metrics of the configured models and their files."""

from __future__ import annotations

from collections.abc import Iterator

from starlight_exporter.errors import MODEL_FAILURE_REASONS
from starlight_exporter.publish.families.family import FamilyGroup, MetricSample, optional, short_hash
from starlight_exporter.publish.snapshot import Snapshot

GROUP = FamilyGroup("Models")

_NOT_LOADED = "the model file has never been loaded"

MODEL_INFO = GROUP.family(
    "model_info",
    "info",
    "model role sha256 file decision",
    "A configured model; always 1. `sha256` (12 digits) is the hash of the loaded file, empty before the first load.",
    absent="the model is not configured",
)
MODEL_FILE_INFO = GROUP.family(
    "model_file_info",
    "info",
    "model sha256",
    "Hash of the model file on disk at the last poll; always 1. Differs from the loaded file until a new file is"
    " loaded, or if it cannot be loaded.",
    absent="the file does not exist or cannot be read",
)
MODEL_MODIFIED_TIMESTAMP = GROUP.family(
    "model_modified_timestamp_seconds",
    "gauge",
    "model",
    "Modification time of the loaded model file.",
    unit="UTC seconds",
    absent=_NOT_LOADED,
)
MODEL_LOADED_TIMESTAMP = GROUP.family(
    "model_loaded_timestamp_seconds",
    "gauge",
    "model",
    "Time at which the model file was loaded for the first time; another file of the model has another time.",
    unit="UTC seconds",
    absent=_NOT_LOADED,
)
MODEL_SIZE = GROUP.family(
    "model_size_bytes",
    "gauge",
    "model",
    "Size of the loaded model file.",
    unit="bytes",
    absent=_NOT_LOADED,
)
MODEL_LAST_LOAD_SUCCESSFUL = GROUP.family(
    "model_last_load_successful",
    "gauge",
    "model",
    "Whether the last attempt to load the model file was successful (1) or failed (0). An attempt that ends because the"
    " file is replaced does not count.",
    absent="until the first attempt",
)
MODEL_LOAD_FAILURES = GROUP.family(
    "model_load_failures_total",
    "counter",
    "model reason",
    "Failed attempts to load the model file; the results of the last loaded file stay exposed.",
    absent="the model is not configured",
)
MODEL_QUARANTINED = GROUP.family(
    "model_quarantined",
    "gauge",
    "model reason",
    "The model file exceeded its limits (`time`, `memory`, or `crashed`: it ended the worker process while it was"
    " loaded, or on at least five images); always 1. A research model is not evaluated until its file changes, the"
    " configuration is reloaded or an evaluation is requested; other roles are evaluated again at their next scheduled"
    " time.",
    absent="the model has not exceeded its limits",
)


def samples(snapshot: Snapshot) -> Iterator[MetricSample]:
    """Yield the samples of every configured model."""
    for model in snapshot.models.values():
        labels = (model.name,)
        sha256 = short_hash(model.sha256 or "")
        yield MetricSample(MODEL_INFO, (model.name, model.role, sha256, model.file, model.decision), 1)
        if model.file_sha256 is not None:
            yield MetricSample(MODEL_FILE_INFO, (model.name, short_hash(model.file_sha256)), 1)
        if model.quarantine is not None:
            yield MetricSample(MODEL_QUARANTINED, (model.name, model.quarantine.reason), 1)
        yield from optional(MODEL_LAST_LOAD_SUCCESSFUL, labels, model.last_load_successful)
        yield from optional(MODEL_MODIFIED_TIMESTAMP, labels, model.modified_at)
        yield from optional(MODEL_LOADED_TIMESTAMP, labels, model.loaded_at)
        yield from optional(MODEL_SIZE, labels, model.size_bytes)
        for reason in MODEL_FAILURE_REASONS:
            yield MetricSample(MODEL_LOAD_FAILURES, (model.name, reason), model.load_failures.get(reason, 0))

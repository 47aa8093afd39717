"""Metrics of evaluation runs: outcomes, progress, duration, cache, provenance."""

from __future__ import annotations

from collections.abc import Iterator

from starlight_exporter.evaluation.results import Evaluation, Execution
from starlight_exporter.publish.families.family import (
    NOT_CONFIGURED,
    UNTIL_EVALUATED,
    FamilyGroup,
    MetricSample,
    optional,
    short_hash,
)
from starlight_exporter.publish.snapshot import OUTCOMES, Snapshot

GROUP = FamilyGroup("Runs")

EVALUATIONS = GROUP.family(
    "evaluations_total",
    "counter",
    "model dataset outcome",
    "Evaluation runs since the exporter started, by outcome; initialized to 0 for every outcome.",
    absent=NOT_CONFIGURED,
)
EVALUATION_LAST_RUN_SUCCESSFUL = GROUP.family(
    "evaluation_last_run_successful",
    "gauge",
    "model dataset",
    "Whether the last run was successful (1) or failed (0: results are from an older run). Cancelled runs and runs"
    " without a loadable model do not count.",
    absent="until the first such run has ended",
)
EVALUATION_IN_PROGRESS = GROUP.family(
    "evaluation_in_progress",
    "gauge",
    "model dataset",
    "Whether a run is in progress (1) or not (0).",
    absent=NOT_CONFIGURED,
)
EVALUATION_PROGRESS = GROUP.family(
    "evaluation_progress_ratio",
    "gauge",
    "model dataset",
    "Share of the images that the active run has processed.",
    unit="ratio",
    absent="no run is in progress",
)
EVALUATION_REMAINING = GROUP.family(
    "evaluation_remaining_seconds",
    "gauge",
    "model dataset",
    "Estimated time until the active run ends, at its average speed so far.",
    unit="seconds",
    absent="no run is in progress, or it has just started",
)
EVALUATION_INTERVAL = GROUP.family(
    "evaluation_interval_seconds",
    "gauge",
    "model dataset",
    "Configured time between two scheduled runs.",
    unit="seconds",
    absent="no schedule is configured",
)
EVALUATION_TIMESTAMP = GROUP.of_evaluation(
    "evaluation_timestamp_seconds",
    "model dataset",
    "Time at which the last complete evaluation ended; after a restart, that of the restored evaluation.",
    unit="UTC seconds",
)
EVALUATION_AGE = GROUP.family(
    "evaluation_age_seconds",
    "gauge",
    "model dataset",
    "Time since the last complete evaluation ended, on the monotonic clock: a step of the system clock does not change"
    " it.",
    unit="seconds",
)
EVALUATION_DURATION = GROUP.of_evaluation(
    "evaluation_duration_seconds",
    "model dataset",
    "Duration of the last complete evaluation.",
    unit="seconds",
)
EVALUATION_SPEED = GROUP.of_evaluation(
    "evaluation_images_per_second",
    "model dataset",
    "Throughput of the last complete evaluation, measured over its bulk pass on all cores.",
    unit="images per second",
    absent=f"{UNTIL_EVALUATED}, or no image was measured",
)
EVALUATION_STAGED = GROUP.of_evaluation(
    "evaluation_staged",
    "model dataset",
    "Whether the bulk pass ran the model in stages with shared outputs (1) or as a single graph (0: the graph cannot be"
    " split, the stages did not reproduce the full model, or it does not run on the CPU; the log has the reason).",
)
EVALUATION_CACHED_IMAGES = GROUP.of_evaluation(
    "evaluation_cached_images",
    "model dataset",
    "Images of the last complete evaluation that were read from the cache of decoded images.",
    unit="images",
)
EVALUATION_DECODED_IMAGES = GROUP.of_evaluation(
    "evaluation_decoded_images",
    "model dataset",
    "Images of the last complete evaluation that were not cached and had to be decoded.",
    unit="images",
)

_NO_CACHE = f"{UNTIL_EVALUATED}, or no cache is configured"

EVALUATION_CACHE_BYTES = GROUP.of_evaluation(
    "evaluation_cache_bytes",
    "model dataset",
    "Size of the cache of decoded images (all datasets) after the last complete evaluation.",
    unit="bytes",
    absent=_NO_CACHE,
)
EVALUATION_CACHE_WRITABLE = GROUP.of_evaluation(
    "evaluation_cache_writable",
    "model dataset",
    "Whether the last complete evaluation could write to the cache of decoded images (1) or not (0: read-only or full;"
    " the log has the reason).",
    absent=_NO_CACHE,
)
EVALUATION_INFO = GROUP.of_evaluation(
    "evaluation_info",
    "model dataset model_sha256 dataset_fingerprint decision card",
    "Provenance of the last complete evaluation (hashes: 12 digits); always 1.",
    kind="info",
)
# Not a label of the other: series of results that were exported or scraped before would get a new identity.
EVALUATION_EXECUTION_INFO = GROUP.of_evaluation(
    "evaluation_execution_info",
    "model dataset execution_provider",
    "Execution providers of ONNX Runtime that ran the model in the last complete evaluation; always 1.",
    kind="info",
)


def samples(snapshot: Snapshot) -> Iterator[MetricSample]:
    """Yield the samples of every configured model on every dataset."""
    for pair, run in snapshot.runs.items():
        for outcome in OUTCOMES:
            yield MetricSample(EVALUATIONS, (*pair, outcome), run.outcomes.get(outcome, 0))
        yield from optional(EVALUATION_LAST_RUN_SUCCESSFUL, pair, run.last_run_successful)
        yield MetricSample(EVALUATION_IN_PROGRESS, pair, int(run.in_progress))
        if run.in_progress:
            yield from optional(EVALUATION_PROGRESS, pair, run.progress)
            yield from optional(EVALUATION_REMAINING, pair, run.remaining_seconds)
        yield from optional(EVALUATION_INTERVAL, pair, run.interval_seconds)
        if snapshot.monotonic_now is not None and run.evaluated_monotonic is not None:
            yield MetricSample(EVALUATION_AGE, pair, snapshot.monotonic_now - run.evaluated_monotonic)
        if run.evaluation is not None:
            yield from evaluation_samples(run.evaluation)


def evaluation_samples(evaluation: Evaluation) -> Iterator[MetricSample]:
    """Yield the samples of the run of one evaluation."""
    pair = (evaluation.model, evaluation.dataset)
    provenance = evaluation.provenance
    yield MetricSample(EVALUATION_TIMESTAMP, pair, evaluation.finished_at)
    yield MetricSample(EVALUATION_DURATION, pair, evaluation.duration_seconds)
    # 0 means that no image was measured.
    yield from optional(EVALUATION_SPEED, pair, evaluation.images_per_second or None)
    yield from _execution_samples(pair, evaluation.execution)
    hashes = (short_hash(provenance.model_sha256), short_hash(provenance.dataset_fingerprint))
    card = "" if evaluation.origin is None else evaluation.origin.folder
    yield MetricSample(EVALUATION_INFO, (*pair, *hashes, provenance.decision, card), 1)
    yield MetricSample(EVALUATION_EXECUTION_INFO, (*pair, provenance.execution_provider), 1)


def _execution_samples(pair: tuple[str, str], execution: Execution | None) -> Iterator[MetricSample]:
    if execution is None:
        return
    yield MetricSample(EVALUATION_STAGED, pair, int(execution.full_model_reason is None))
    yield MetricSample(EVALUATION_CACHED_IMAGES, pair, execution.cached_images)
    yield MetricSample(EVALUATION_DECODED_IMAGES, pair, execution.decoded_images)
    if execution.cache_bytes is not None:
        yield MetricSample(EVALUATION_CACHE_BYTES, pair, execution.cache_bytes)
        yield MetricSample(EVALUATION_CACHE_WRITABLE, pair, int(execution.cache_problem is None))

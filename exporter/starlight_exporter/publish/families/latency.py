"""Metrics of latency: the histogram over all latency runs, and the exact quantiles of the last one."""

from __future__ import annotations

import math
from collections.abc import Iterator

from starlight_exporter.evaluation.latency import LATENCY_BUCKETS
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.publish.exposition import number_text
from starlight_exporter.publish.families.family import (
    UNTIL_EVALUATED,
    FamilyGroup,
    MetricSample,
    number_label,
    optional,
)
from starlight_exporter.publish.histogram import StageHistogram
from starlight_exporter.publish.snapshot import Snapshot

GROUP = FamilyGroup("Latency")

_NO_LATENCY_RUN = f"{UNTIL_EVALUATED}, or no latency run was made"
_SMALL_SAMPLE = f"{UNTIL_EVALUATED}, or the sample is too small for the"
_BOUND = "bound of the distribution-free 95% confidence interval of starlight_latency_seconds."
_BUCKET_LABELS = tuple(number_text(bound) for bound in (*LATENCY_BUCKETS, math.inf))

INFERENCE_DURATION = GROUP.family(
    "inference_duration_seconds",
    "histogram",
    "model stage",
    "Time per image and stage over all latency runs since the exporter started, one image at a time.",
    unit="seconds",
    absent="the model is not configured",
)
LATENCY = GROUP.of_evaluation(
    "latency_seconds",
    "model dataset quantile",
    "Exact quantiles of the time from file bytes to verdict in the last latency run, one image at a time.",
    unit="seconds",
    kind="summary",
    absent=f"{_SMALL_SAMPLE} quantile",
)
LATENCY_LOWER = GROUP.of_evaluation(
    "latency_lower_seconds",
    "model dataset quantile",
    f"Lower {_BOUND}",
    unit="seconds",
    kind="summary",
    absent=f"{_SMALL_SAMPLE} bound",
)
LATENCY_UPPER = GROUP.of_evaluation(
    "latency_upper_seconds",
    "model dataset quantile",
    f"Upper {_BOUND}",
    unit="seconds",
    kind="summary",
    absent=f"{_SMALL_SAMPLE} bound",
)
LATENCY_IMAGES = GROUP.of_evaluation(
    "latency_images",
    "model dataset",
    "Images timed in the last latency run.",
    unit="images",
    absent=_NO_LATENCY_RUN,
)
THROUGHPUT = GROUP.of_evaluation(
    "throughput_images_per_second",
    "model dataset",
    "Throughput of the last latency run, one image at a time.",
    unit="images per second",
    absent=_NO_LATENCY_RUN,
)


def samples(snapshot: Snapshot) -> Iterator[MetricSample]:
    """Yield the histograms of the models and the quantiles of the last complete evaluations."""
    for model in snapshot.models.values():
        for stage, histogram in model.latency.stages.items():
            yield from _histogram_samples((model.name, stage), histogram)
    for evaluation in snapshot.evaluations():
        yield from evaluation_samples(evaluation)


def evaluation_samples(evaluation: Evaluation) -> Iterator[MetricSample]:
    """Yield quantiles and throughput of the latency run of one evaluation."""
    pair = (evaluation.model, evaluation.dataset)
    if evaluation.latency is None:
        return
    for quantile in evaluation.latency.quantiles:
        labels = (*pair, number_label(quantile.quantile))
        yield MetricSample(LATENCY, labels, quantile.seconds)
        yield from optional(LATENCY_LOWER, labels, quantile.lower)
        yield from optional(LATENCY_UPPER, labels, quantile.upper)
    yield MetricSample(LATENCY_IMAGES, pair, evaluation.latency.images)
    yield MetricSample(THROUGHPUT, pair, evaluation.latency.throughput)


def _histogram_samples(labels: tuple[str, ...], histogram: StageHistogram) -> Iterator[MetricSample]:
    cumulative = 0
    for le, count in zip(_BUCKET_LABELS, histogram.counts, strict=True):
        cumulative += count
        yield MetricSample(INFERENCE_DURATION, labels, cumulative, "_bucket", le)
    yield MetricSample(INFERENCE_DURATION, labels, cumulative, "_count")
    yield MetricSample(INFERENCE_DURATION, labels, histogram.sum_seconds, "_sum")

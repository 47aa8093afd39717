"""Metrics of latency: the histogram over all latency runs, and exact quantiles and ratios of the last one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from starlight_exporter.evaluation.latency import LATENCY_BUCKETS
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.publish.exposition import number_text
from starlight_exporter.publish.families.family import (
    UNTIL_EVALUATED,
    Exemplar,
    FamilyGroup,
    MetricSample,
    number_label,
    optional,
)
from starlight_exporter.publish.histogram import SlowImage, StageHistogram
from starlight_exporter.publish.snapshot import Snapshot
from starlight_exporter.statistics.latency_ratio import BUSY_CONTENTION

EXEMPLAR_CHARACTERS: Final = 128
"""Limit of OpenMetrics for the names and values of the labels of an exemplar."""
GROUP = FamilyGroup("Latency")

_TIMED = "file to verdict: read, decode, features, inference; files were read once before"
_NO_BASELINE_TIMED = f"{UNTIL_EVALUATED}, or no baseline model was timed in the same run"
_NO_LATENCY_RUN = f"{UNTIL_EVALUATED}, or no latency run was made"
_SMALL_SAMPLE = f"{UNTIL_EVALUATED}, or the sample is too small for the"
_BOUND = "bound of the distribution-free 95% confidence interval of starlight_latency_seconds."
_BUCKET_LABELS = tuple(number_text(bound) for bound in (*LATENCY_BUCKETS, math.inf))

INFERENCE_DURATION = GROUP.family(
    "inference_duration_seconds",
    "histogram",
    "model stage",
    f"Time per image and stage over all latency runs since the exporter started, one image at a time ({_TIMED}).",
    unit="seconds",
    absent="the model is not configured",
)
LATENCY = GROUP.of_evaluation(
    "latency_seconds",
    "model dataset quantile",
    f"Exact quantiles of the time of one image in the last latency run ({_TIMED}).",
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

BASELINE_RATIO = GROUP.of_evaluation(
    "latency_baseline_ratio",
    "model dataset",
    "p95 of the model / p95 of the baseline model, timed alternately in one run: wall time, or CPU time if the machine"
    " was busy.",
    unit="ratio",
    absent=_NO_BASELINE_TIMED,
)
BASELINE_RATIO_LOWER = GROUP.of_evaluation(
    "latency_baseline_ratio_lower",
    "model dataset",
    "0.5% bootstrap bound of starlight_latency_baseline_ratio, by the same clock.",
    unit="ratio",
    absent=_NO_BASELINE_TIMED,
)
CONTENTION = GROUP.of_evaluation(
    "latency_contention_ratio",
    "model dataset",
    f"Share of the wall time of the last latency run that the timed thread did not run; above {BUSY_CONTENTION:g} the"
    " machine was busy.",
    unit="ratio",
    absent=f"{_NO_LATENCY_RUN}, or an earlier version stored the result",
)


def samples(snapshot: Snapshot) -> Iterator[MetricSample]:
    """Yield the histograms of the models and the quantiles of the last complete evaluations."""
    for model in snapshot.models.values():
        for stage, histogram in model.latency.stages.items():
            yield from _histogram_samples((model.name, stage), histogram, snapshot.build.external_url)
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
    ratio = evaluation.latency_ratio
    if ratio is None:
        yield from optional(CONTENTION, pair, evaluation.latency.contention)
    else:
        yield MetricSample(BASELINE_RATIO, pair, ratio.value)
        yield MetricSample(BASELINE_RATIO_LOWER, pair, ratio.lower)
        yield MetricSample(CONTENTION, pair, ratio.contention)


def _histogram_samples(labels: tuple[str, ...], histogram: StageHistogram, external_url: str) -> Iterator[MetricSample]:
    cumulative = 0
    for place, (le, count) in enumerate(zip(_BUCKET_LABELS, histogram.counts, strict=True)):
        cumulative += count
        slow = histogram.slowest.get(place)
        exemplar = None if slow is None else _exemplar(slow, external_url)
        yield MetricSample(INFERENCE_DURATION, labels, cumulative, "_bucket", le, exemplar)
    yield MetricSample(INFERENCE_DURATION, labels, cumulative, "_count")
    yield MetricSample(INFERENCE_DURATION, labels, histogram.sum_seconds, "_sum")


def _exemplar(slow: SlowImage, external_url: str) -> Exemplar:
    """Return the exemplar of a slow image, with the URL of its page if that is known and short enough."""
    labels = {"image": f"{slow.evaluation}/{slow.number}"}
    page = {"url": f"{external_url}evaluations/{slow.evaluation}/images/{slow.number}"}
    if external_url and sum(len(name) + len(value) for name, value in (labels | page).items()) <= EXEMPLAR_CHARACTERS:
        labels |= page
    # With the time of the evaluation, so that Prometheus stores it once and not at every scrape.
    return Exemplar(labels, slow.seconds, round(slow.finished_at, 3))

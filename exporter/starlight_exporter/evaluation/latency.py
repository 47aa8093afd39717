"""Latency run: time single images on one thread, from file bytes to verdict."""

from __future__ import annotations

import gc
import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.dataset.dataset import LabelledFile
from starlight_exporter.errors import ImageError
from starlight_exporter.evaluation.progress import Progress
from starlight_exporter.evaluation.results import LATENCY_STAGES, LatencyObservations, LatencyQuantile, LatencySummary
from starlight_exporter.evaluation.timing import TimedDetector, TimedVerdict
from starlight_exporter.statistics.quantiles import quantile_ranks, quantile_sample_needed

QUANTILES: Final[tuple[float, ...]] = (0.5, 0.95, 0.99)
WARM_UP_IMAGES: Final = 10

# fmt: off
LATENCY_BUCKETS: Final[tuple[float, ...]] = (
    0.0001, 0.0002, 0.0003, 0.0004, 0.0005, 0.0006, 0.0007, 0.0008, 0.0009,
    0.001, 0.00108, 0.00117, 0.00127, 0.00138, 0.0015, 0.00163, 0.00177, 0.00192, 0.0021, 0.0023, 0.0025, 0.0027,
    0.00295, 0.0032, 0.0035, 0.0038, 0.00415, 0.00455,
    0.005, 0.0054, 0.0059, 0.0064, 0.007, 0.0076, 0.0083, 0.009, 0.0098, 0.0107, 0.0117, 0.0128, 0.014, 0.0153,
    0.0168, 0.0184, 0.02,
    0.025, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)
# fmt: on
"""Upper bounds of the histogram in seconds: at most 10% apart between 1 and 20 ms, including the limit of 5 ms."""


def measure_latency(
    detector: TimedDetector, files: Sequence[LabelledFile], *, sample: int, seed: int, progress: Progress
) -> LatencyObservations | None:
    """Time min(sample, files) images chosen at random by `seed`; return None if none could be timed.

    `files` are files that the bulk pass measured: their content is not hashed again. The first images run once before
    without being counted. Garbage collection is disabled during the run, as in `timeit`.
    """
    chosen = random.Random(seed).sample(list(files), min(sample, len(files)))
    timings: list[TimedVerdict] = []
    with _no_garbage_collection():
        for file in chosen[:WARM_UP_IMAGES]:
            _timed(detector, file)
        for done, file in enumerate(chosen, start=1):
            timing = _timed(detector, file)
            if timing is not None:
                timings.append(timing)
            progress(done, len(chosen))
    if not timings:
        return None
    return LatencyObservations(
        {stage: np.array([getattr(timing, stage) for timing in timings], dtype=np.float64) for stage in LATENCY_STAGES}
    )


def summarise(observations: LatencyObservations) -> LatencySummary:
    """Return exact quantiles of the total and the mean of every stage. Raise ValueError without timings."""
    total = np.sort(observations.seconds["total"])
    images = total.size
    if images == 0:
        raise ValueError("no timings")
    return LatencySummary(
        images=images,
        quantiles=tuple(_quantile(total, q) for q in QUANTILES if images >= quantile_sample_needed(q)),
        stage_means={stage: math.fsum(observations.seconds[stage].tolist()) / images for stage in LATENCY_STAGES},
        throughput=images / math.fsum(total.tolist()),
    )


def _quantile(ordered: NDArray[np.float64], quantile: float) -> LatencyQuantile:
    rank, lower, upper = quantile_ranks(quantile, ordered.size)
    return LatencyQuantile(
        quantile=quantile,
        seconds=float(ordered[rank - 1]),
        lower=None if lower is None else float(ordered[lower - 1]),
        upper=None if upper is None else float(ordered[upper - 1]),
    )


def _timed(detector: TimedDetector, file: LabelledFile) -> TimedVerdict | None:
    try:
        return detector.measure(file)
    except ImageError:
        # The bulk pass measured it, so the file has been deleted since, or exceeded the time limit only now.
        return None


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()

"""Latency as one user meets it: one image at a time, one thread, file bytes to verdict, on an idle process."""

from __future__ import annotations

import gc
import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.dataset.dataset import LabelledFile
from starlight_exporter.errors import ImageError
from starlight_exporter.evaluation.measurement import Measured, Measurement
from starlight_exporter.evaluation.results import STAGES, LatencyObservations, LatencyQuantile, LatencySummary, Stage
from starlight_exporter.statistics.quantiles import quantile_ranks, quantile_sample_needed

QUANTILES: tuple[float, ...] = (0.5, 0.95, 0.99)
WARM_UP_IMAGES = 10

# fmt: off
LATENCY_BUCKETS: tuple[float, ...] = (
    0.0001, 0.0002, 0.0003, 0.0004, 0.0005, 0.0006, 0.0007, 0.0008, 0.0009,
    0.001, 0.00108, 0.00117, 0.00127, 0.00138, 0.0015, 0.00163, 0.00177, 0.00192, 0.0021, 0.0023, 0.0025, 0.0027,
    0.00295, 0.0032, 0.0035, 0.0038, 0.00415, 0.00455,
    0.005, 0.0054, 0.0059, 0.0064, 0.007, 0.0076, 0.0083, 0.009, 0.0098, 0.0107, 0.0117, 0.0128, 0.014, 0.0153,
    0.0168, 0.0184, 0.02,
    0.025, 0.03, 0.04, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)
# fmt: on
"""Upper bounds of the histogram in seconds: at most 10 % apart between 1 and 20 ms, with the 5 ms limit among them."""


def measure_latency(
    measurement: Measurement,
    files: Sequence[LabelledFile],
    *,
    sample: int,
    seed: int,
    progress: Callable[[int, int], None],
) -> tuple[LatencySummary, LatencyObservations] | None:
    """Timings of min(sample, files) images chosen by `seed`; None where none could be timed.

    `files` are those that the bulk pass measured: their content is known, so it is not hashed again. The first images
    are run once more before, uncounted. The cycle collector waits, as in the standard library's `timeit`.
    """
    chosen = random.Random(seed).sample(list(files), min(sample, len(files)))
    timings: list[Measured] = []
    with _no_collection():
        for file in chosen[:WARM_UP_IMAGES]:
            _timed(measurement, file)
        for done, file in enumerate(chosen, start=1):
            timing = _timed(measurement, file)
            if timing is not None:
                timings.append(timing)
            progress(done, len(chosen))
    if not timings:
        return None
    seconds: dict[Stage, NDArray[np.float64]] = {
        stage: np.array([getattr(timing, stage) for timing in timings], dtype=np.float64) for stage in STAGES
    }
    return summarise(seconds), LatencyObservations(seconds)


def summarise(seconds: dict[Stage, NDArray[np.float64]]) -> LatencySummary:
    """Exact quantiles of `total` and means per stage, of arrays of shape (images,); ValueError without timings."""
    total = np.sort(seconds["total"])
    images = total.size
    if images == 0:
        raise ValueError("no timings")
    return LatencySummary(
        images=images,
        quantiles=tuple(_quantile(total, q) for q in QUANTILES if images >= quantile_sample_needed(q)),
        stage_means={stage: math.fsum(seconds[stage].tolist()) / images for stage in STAGES},
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


def _timed(measurement: Measurement, file: LabelledFile) -> Measured | None:
    try:
        return measurement.measure(file)
    except ImageError:
        # It was measured a moment ago: the file has vanished since, or this one time took too long to count.
        return None


@contextmanager
def _no_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()

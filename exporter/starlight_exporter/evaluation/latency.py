"""Latency run: time single images on one thread, from file to verdict: read, decode, features, inference."""

from __future__ import annotations

import gc
import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import cycle, islice
from time import perf_counter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.errors import ImageError
from starlight_exporter.evaluation.progress import Progress
from starlight_exporter.evaluation.results import LATENCY_STAGES, LatencyObservations, LatencyQuantile, LatencySummary
from starlight_exporter.evaluation.timing import TimedDetector, TimedFile, TimedVerdict
from starlight_exporter.statistics.latency_ratio import Timings, contention
from starlight_exporter.statistics.quantiles import quantile_ranks, quantile_sample_needed

QUANTILES: Final[tuple[float, ...]] = (0.5, 0.95, 0.99)
WARM_UP_CALLS: Final = 10
REPEAT_SECONDS: Final = 120.0
"""No further repeat of the images is started after this time, so that a few large images do not delay a result."""

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


@dataclass(frozen=True, slots=True)
class PairedTimings:
    """Timings of a model and of the baseline model in one run.

    `observations` has the first timing of every image that the model could process, None if there is none. `model` and
    `baseline` have all timings of the images that both models could process, in the same order.
    """

    observations: LatencyObservations | None
    model: Timings
    baseline: Timings


def measure_latency(
    detector: TimedDetector, files: Sequence[TimedFile], *, sample: int, seed: int, progress: Progress
) -> LatencyObservations | None:
    """Time min(sample, files) images chosen at random by `seed`; return None if none could be timed.

    `files` are files that the bulk pass measured: their content is not hashed again. They are read once before, and ten
    calls are not counted. Garbage collection is disabled during the run, as in `timeit`.
    """
    generator = random.Random(seed)
    chosen = generator.sample(files, min(sample, len(files)))
    return _observations(chosen, _time_in_turn((detector,), chosen, 1, generator, progress).timings[0])


def sampled_files(files: Sequence[TimedFile], sample: int, seed: int) -> list[int]:
    """Return the positions of the files that `measure_latency` and `measure_latency_pair` choose."""
    return random.Random(seed).sample(range(len(files)), min(sample, len(files)))


def measure_latency_pair(
    detector: TimedDetector,
    baseline: TimedDetector,
    files: Sequence[TimedFile],
    *,
    sample: int,
    seed: int,
    progress: Progress,
) -> PairedTimings:
    """Time two models alternately on the images that `measure_latency` chooses, at least `sample` times each.

    Each image is processed by both models in random order. The images are repeated in full rounds, unless the repeats
    take longer than REPEAT_SECONDS. An image that one of the models cannot process is left out of both timings.
    """
    generator = random.Random(seed)
    chosen = generator.sample(files, min(sample, len(files)))
    calls = _time_in_turn((detector, baseline), chosen, repeats_needed(sample, len(chosen)), generator, progress)
    own, other = calls.timings
    common = [index for index in range(len(chosen)) if index not in calls.failed]
    return PairedTimings(
        observations=_observations(chosen, own),
        model=_timings([own[index] for index in common]),
        baseline=_timings([other[index] for index in common]),
    )


def repeats_needed(sample: int, images: int) -> int:
    """Return how often each image is timed so that a model has at least `sample` timings: ceil(sample / images)."""
    return -(-sample // images) if images else 0


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
        contention=contention(total, observations.cpu),
    )


def _quantile(ordered: NDArray[np.float64], quantile: float) -> LatencyQuantile:
    rank, lower, upper = quantile_ranks(quantile, ordered.size)
    return LatencyQuantile(
        quantile=quantile,
        seconds=float(ordered[rank - 1]),
        lower=None if lower is None else float(ordered[lower - 1]),
        upper=None if upper is None else float(ordered[upper - 1]),
    )


@dataclass(frozen=True, slots=True)
class _Calls:
    """Timings by detector, image and round, and the images that a detector could not process."""

    timings: list[list[list[TimedVerdict]]]
    failed: set[int]


def _time_in_turn(
    detectors: Sequence[TimedDetector],
    files: Sequence[TimedFile],
    rounds: int,
    generator: random.Random,
    progress: Progress,
) -> _Calls:
    """Time every detector on every image in every round; the detectors take turns in random order per image."""
    calls = _Calls([[[] for _ in files] for _ in detectors], set())
    _read_once(detectors[0], files)
    total, done = rounds * len(files) * len(detectors), 0
    with _no_garbage_collection():
        for file in islice(cycle(files), WARM_UP_CALLS):
            for detector in detectors:
                _timed(detector, file)
        start = perf_counter()
        for number in range(rounds):
            if number > 0 and perf_counter() - start > REPEAT_SECONDS:
                break
            for index, file in enumerate(files):
                if index not in calls.failed:
                    _time_image(detectors, index, file, generator, calls)
                done += len(detectors)
                progress(done, total)
    return calls


def _time_image(
    detectors: Sequence[TimedDetector], index: int, file: TimedFile, generator: random.Random, calls: _Calls
) -> None:
    for which in generator.sample(range(len(detectors)), len(detectors)):
        timing = _timed(detectors[which], file)
        if timing is None:
            calls.failed.add(index)
        else:
            calls.timings[which][index].append(timing)


def _read_once(detector: TimedDetector, files: Sequence[TimedFile]) -> None:
    for file in files:
        # A file that cannot be read is reported as failed when it is timed.
        with suppress(ImageError):
            detector.read(file)


def _timed(detector: TimedDetector, file: TimedFile) -> TimedVerdict | None:
    try:
        return detector.measure(file)
    except ImageError:
        # The bulk pass measured it, so the file has been deleted since, or exceeded the time limit only now, or it is
        # the baseline model that fails.
        return None


def _observations(files: Sequence[TimedFile], timings: Sequence[Sequence[TimedVerdict]]) -> LatencyObservations | None:
    """Return the first timing of every image that has one."""
    first = [rounds[0] for rounds in timings if rounds]
    if not first:
        return None
    return LatencyObservations(
        {stage: np.array([getattr(one, stage) for one in first], dtype=np.float64) for stage in LATENCY_STAGES},
        np.array([one.cpu for one in first], dtype=np.float64),
        tuple(file.path for file, rounds in zip(files, timings, strict=True) if rounds),
    )


def _timings(timings: Sequence[Sequence[TimedVerdict]]) -> Timings:
    return Timings(
        wall=np.array([[one.total for one in rounds] for rounds in timings], dtype=np.float64),
        cpu=np.array([[one.cpu for one in rounds] for rounds in timings], dtype=np.float64),
    )


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

"""The cumulative latency histogram of one model: immutable, as part of a snapshot."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from starlight_exporter.evaluation.latency import LATENCY_BUCKETS
from starlight_exporter.evaluation.results import LATENCY_STAGES, LatencyObservations, LatencyStage

SLOW_QUANTILE: Final = 0.95
"""Images from this quantile of a latency run on are slow: they become exemplars."""


@dataclass(frozen=True, slots=True)
class TimedEvaluation:
    """The evaluation of a latency run: id, UTC seconds of its end, and the number of each image by path."""

    id: str
    finished_at: float
    numbers: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class SlowImage:
    """The slowest image of a bucket in its last latency run: number on the pages of the evaluation, and its time."""

    evaluation: str
    finished_at: float
    number: int
    seconds: float


@dataclass(frozen=True, slots=True)
class StageHistogram:
    """Timings of one stage: `counts` per bucket (not cumulative, the last one is +Inf) and their sum.

    `slowest` are the slow images by the index of their bucket, only of the stage total.
    """

    counts: tuple[int, ...]
    sum_seconds: float
    slowest: Mapping[int, SlowImage] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LatencyHistogram:
    """Timings per stage over all latency runs; a value equal to a bound is in its bucket (`le`)."""

    stages: Mapping[LatencyStage, StageHistogram]

    @staticmethod
    def empty() -> LatencyHistogram:
        """Return a histogram without timings: counters start at 0 before the first event."""
        nothing = StageHistogram((0,) * (len(LATENCY_BUCKETS) + 1), 0.0)
        return LatencyHistogram(dict.fromkeys(LATENCY_STAGES, nothing))

    def add(self, observations: LatencyObservations, evaluation: TimedEvaluation | None = None) -> LatencyHistogram:
        """Return a new histogram that includes one more latency run, with its slow images if `evaluation` is given."""
        stages = dict(self.stages)
        for stage, seconds in observations.seconds.items():
            before = stages[stage]
            places = np.searchsorted(np.asarray(LATENCY_BUCKETS), seconds, side="left")
            added = np.bincount(places, minlength=len(LATENCY_BUCKETS) + 1)
            counts = tuple(count + int(more) for count, more in zip(before.counts, added, strict=True))
            slowest = before.slowest
            if stage == "total" and evaluation is not None:
                slowest = {**slowest, **_slowest(observations, places.tolist(), evaluation)}
            stages[stage] = StageHistogram(counts, before.sum_seconds + math.fsum(seconds), slowest)
        return LatencyHistogram(stages)


def _slowest(observations: LatencyObservations, places: list[int], evaluation: TimedEvaluation) -> dict[int, SlowImage]:
    """Return the slowest image of every bucket at and above the quantile of slow images."""
    total = observations.seconds["total"]
    slow = np.flatnonzero(total >= np.quantile(total, SLOW_QUANTILE, method="higher"))
    found = {}
    # Ascending, so that the slowest image of a bucket is the last one.
    for index in slow[np.argsort(total[slow])].tolist():
        number = evaluation.numbers.get(observations.paths[index]) if observations.paths else None
        if number is not None:
            seconds = float(total[index])
            found[places[index]] = SlowImage(evaluation.id, evaluation.finished_at, number, seconds)
    return found

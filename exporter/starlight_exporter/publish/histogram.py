"""The cumulative latency histogram of one model: immutable, as part of a snapshot."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from starlight_exporter.evaluation.latency import LATENCY_BUCKETS
from starlight_exporter.evaluation.results import LATENCY_STAGES, LatencyObservations, LatencyStage


@dataclass(frozen=True, slots=True)
class StageHistogram:
    """Timings of one stage: `counts` per bucket (not cumulative, the last one is +Inf) and their sum."""

    counts: tuple[int, ...]
    sum_seconds: float


@dataclass(frozen=True, slots=True)
class LatencyHistogram:
    """Timings per stage over all latency runs; a value equal to a bound is in its bucket (`le`)."""

    stages: Mapping[LatencyStage, StageHistogram]

    @staticmethod
    def empty() -> LatencyHistogram:
        """Return a histogram without timings: counters start at 0 before the first event."""
        nothing = StageHistogram((0,) * (len(LATENCY_BUCKETS) + 1), 0.0)
        return LatencyHistogram(dict.fromkeys(LATENCY_STAGES, nothing))

    def add(self, observations: LatencyObservations) -> LatencyHistogram:
        """Return a new histogram that includes one more latency run."""
        stages = dict(self.stages)
        for stage, seconds in observations.seconds.items():
            before = stages[stage]
            places = np.searchsorted(np.asarray(LATENCY_BUCKETS), seconds, side="left")
            added = np.bincount(places, minlength=len(LATENCY_BUCKETS) + 1)
            counts = tuple(count + int(more) for count, more in zip(before.counts, added, strict=True))
            stages[stage] = StageHistogram(counts, before.sum_seconds + math.fsum(seconds))
        return LatencyHistogram(stages)

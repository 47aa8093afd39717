"""What an evaluation is checked against: the measured slices, and the baseline in use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from starlight_exporter.checks.counts import SliceCounts
from starlight_exporter.checks.results import Unavailable
from starlight_exporter.detector.contract import ImageFormat, Method
from starlight_exporter.statistics.latency_ratio import LatencyRatio

NO_BASELINE: Final = Unavailable("no_baseline", "no baseline")


@dataclass(frozen=True, slots=True)
class BaselineInUse:
    """Rates and latencies of the baseline on one dataset, exactly as measured or recorded.

    `name` is that of the baseline model, or of the file if it `is_recorded`. With an `obstacle` the rates are not
    comparable, with a `latency_obstacle` the latencies. `same_verdicts` is whether model file and decision rule are
    those of the evaluation.
    """

    name: str
    clean: Fraction | None = None
    formats: Mapping[ImageFormat, Fraction] = field(default_factory=dict)
    detections: Mapping[Method, Fraction] = field(default_factory=dict)
    latency_seconds: Mapping[float, float] = field(default_factory=dict)
    obstacle: Unavailable | None = None
    latency_obstacle: Unavailable | None = None
    is_recorded: bool = False
    same_verdicts: bool = False


@dataclass(frozen=True, slots=True)
class CheckBasis:
    """All inputs of the checks besides the evaluation itself and the limits.

    `no_baseline` is why there is no baseline, if there is none. `previous_latency` is the latency ratio of the
    evaluation before this one, of the same two model files.
    """

    counts: Mapping[str, SliceCounts]
    baseline: BaselineInUse | None = None
    previous_latency: LatencyRatio | None = None
    no_baseline: Unavailable = NO_BASELINE

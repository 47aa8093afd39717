"""A detector that uses additional CPU time: a share of the time from file to verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import thread_time

from starlight_exporter.detector.contract import Stream
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.detector.model import Detector, Score, Tensor
from starlight_exporter.evaluation.request import RunLimits
from starlight_exporter.evaluation.timing import TimedDetector, TimedFile, TimedVerdict


class SlowedDetector(Detector):
    """A detector whose calls take `factor` times the CPU time since `started_at`."""

    factor = 1.0
    started_at = 0.0

    def predict(self, batch: Sequence[Mapping[Stream, Tensor]]) -> tuple[Score, ...]:
        scores = super().predict(batch)
        end = self.started_at + self.factor * (thread_time() - self.started_at)
        while thread_time() < end:
            pass
        return scores


class SlowedTimedDetector(TimedDetector):
    """Time a model whose CPU time from file to verdict is multiplied by `factor`."""

    def __init__(self, model: Path, decision: DecisionRule, root: Path, *, factor: float) -> None:
        slowed = SlowedDetector.load(model)
        assert isinstance(slowed, SlowedDetector)
        slowed.factor = factor
        self._slowed = slowed
        super().__init__(slowed, decision, root, RunLimits())

    def measure(self, file: TimedFile) -> TimedVerdict:
        self._slowed.started_at = thread_time()
        return super().measure(file)

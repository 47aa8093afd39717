"""One image of a dataset, whole and alone: from its file to a verdict, with the time that each stage took."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from starlight_exporter.dataset.dataset import LabelledFile
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.detector.model import Detector, Score
from starlight_exporter.detector.streams import ThreadWorkspace, decode, tensors
from starlight_exporter.errors import ImageError
from starlight_exporter.evaluation.reading import Reader
from starlight_exporter.evaluation.request import RunLimits


@dataclass(frozen=True, slots=True)
class Measured:
    """A verdict, and seconds per stage; `total` runs from opening the file to the verdict."""

    score: Score
    verdict: bool
    read: float
    decode: float
    features: float
    inference: float
    total: float


class Measurement:
    """Turns files of one dataset into verdicts of one whole model, as production does: nothing is kept or shared."""

    def __init__(self, detector: Detector, decision: DecisionRule, root: Path, limits: RunLimits) -> None:
        self._detector = detector
        self._decision = decision
        self._reader = Reader(root, limits)
        self._limits = limits
        self._scratch = ThreadWorkspace(detector.streams)

    def measure(self, file: LabelledFile) -> Measured:
        """The verdict on one file; ImageError with the reason why there is none."""
        return self._reader.bounded(file, lambda max_pixels: self._measure(file, max_pixels))

    def _measure(self, file: LabelledFile, max_pixels: int) -> Measured:
        start = perf_counter()
        data = self._reader.read(file)
        read = perf_counter()
        decoded = decode(data, max_pixels=max_pixels)
        del data
        ready = perf_counter()
        arrays = self._scratch.arrays
        streams = tensors(decoded, arrays.keys(), out=arrays)
        del decoded
        fed = perf_counter()
        (score,) = self._detector.predict((streams,))
        verdict = self._decision.verdict(score.probability, score.predicted)
        end = perf_counter()
        if end - start > self._limits.image_seconds:
            raise ImageError(f"took {end - start:.1f} s, at most {self._limits.image_seconds:g} s", reason="timeout")
        return Measured(score, verdict, read - start, ready - read, fed - ready, end - fed, end - start)

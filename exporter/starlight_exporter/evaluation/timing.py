"""Timed detection: one image at a time from file to verdict, with the seconds of every stage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, thread_time
from typing import Protocol

from starlight_exporter.activity import NO_ACTIVITY, Activity
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.detector.decoding import decode
from starlight_exporter.detector.model import Detector, Score
from starlight_exporter.detector.streams import ThreadWorkspace, tensors
from starlight_exporter.errors import ImageError
from starlight_exporter.evaluation.request import RunLimits
from starlight_exporter.file_access import open_regular


class TimedFile(Protocol):
    """A file that was measured."""

    @property
    def path(self) -> str:
        """The path in the dataset."""

    @property
    def size_bytes(self) -> int:
        """The size when it was measured."""


@dataclass(frozen=True, slots=True)
class TimedVerdict:
    """A verdict and the seconds of every stage; `total` is the time from opening the file to the verdict.

    `cpu` is the CPU time of the calling thread within the total; the model runs in this thread too.
    """

    score: Score
    verdict: bool
    read: float
    decode: float
    features: float
    inference: float
    total: float
    cpu: float


class TimedDetector:
    """Run the full model on files of one dataset as production does, without cache and without shared outputs."""

    def __init__(
        self,
        detector: Detector,
        decision: DecisionRule,
        root: Path,
        limits: RunLimits,
        activity: Activity = NO_ACTIVITY,
    ) -> None:
        self._detector = detector
        self._decision = decision
        self._root = root
        self._limits = limits
        self._activity = activity
        self._workspace = ThreadWorkspace(detector.streams)

    def read(self, file: TimedFile) -> None:
        """Read a file without timing it, so that it is in the page cache. Raise ImageError if it cannot be read."""
        with self._activity.during("time", file.path):
            self._read(file)

    def measure(self, file: TimedFile) -> TimedVerdict:
        """Return the verdict on one file. Raise ImageError if there is none."""
        with self._activity.during("time", file.path):
            return self._measure(file, self._limits.max_pixels)

    def _read(self, file: TimedFile) -> bytes:
        """Return the content of a file. Raise ImageError `unreadable` if its size has changed since it was measured."""
        try:
            with open_regular(self._root / file.path, root=self._root) as handle:
                # One more byte than expected detects a file that has grown, without reading all of it.
                data = handle.read(file.size_bytes + 1)
        except OSError as error:
            raise ImageError(f"cannot be read: {error.strerror or error}", reason="unreadable") from error
        if len(data) != file.size_bytes:
            raise ImageError("changed its size since it was measured", reason="unreadable")
        return data

    def _measure(self, file: TimedFile, max_pixels: int) -> TimedVerdict:
        start = perf_counter()
        cpu_start = thread_time()
        data = self._read(file)
        read = perf_counter()
        decoded = decode(data, max_pixels=max_pixels)
        del data
        decoded_at = perf_counter()
        arrays = self._workspace.arrays
        streams = tensors(decoded, arrays.keys(), out=arrays)
        del decoded
        ready = perf_counter()
        (score,) = self._detector.predict((streams,))
        verdict = self._decision.verdict(score.probability, score.predicted)
        cpu_end = thread_time()
        end = perf_counter()
        if end - start > self._limits.image_seconds:
            raise ImageError(f"took {end - start:.1f} s, at most {self._limits.image_seconds:g} s", reason="timeout")
        return TimedVerdict(
            score=score,
            verdict=verdict,
            read=read - start,
            decode=decoded_at - read,
            features=ready - decoded_at,
            inference=end - ready,
            total=end - start,
            cpu=cpu_end - cpu_start,
        )

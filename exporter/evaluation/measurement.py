"""One image of a dataset: from its file to a verdict, with the time that each stage took."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from exporter.dataset.dataset import LabelledFile
from exporter.detector.decision import DecisionRule
from exporter.detector.model import Detector, Score
from exporter.detector.streams import decode, tensors
from exporter.errors import ImageError
from exporter.evaluation.request import RunLimits

LARGE_PIXELS = 4 * 1024 * 1024
LARGE_FILE_BYTES = 8 * 1024 * 1024


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
    """Turns files of one dataset into verdicts of one model; may be used from several threads at once.

    Large pictures are taken one at a time, whatever the number of threads: this bounds a process's memory.
    """

    def __init__(self, detector: Detector, decision: DecisionRule, root: Path, limits: RunLimits) -> None:
        self._detector = detector
        self._decision = decision
        self._root = root
        self._limits = limits
        self._streams = tuple(sorted(detector.streams))
        self._large = threading.Lock()

    def measure(self, file: LabelledFile, *, verify: bool = True) -> Measured:
        """The verdict on one file; ImageError with the reason why there is none.

        With `verify`, a file whose content is not what the scan of the dataset saw is refused as unreadable.
        """
        if file.size_bytes > self._limits.max_file_bytes:
            raise ImageError(
                f"{file.size_bytes} bytes, at most {self._limits.max_file_bytes} are read", reason="too_large"
            )
        if file.size_bytes > LARGE_FILE_BYTES:
            return self._alone(file, verify)
        at_once = min(LARGE_PIXELS, self._limits.max_pixels)
        try:
            return self._measure(file, at_once, verify)
        except ImageError as error:
            if error.reason != "too_large" or at_once == self._limits.max_pixels:
                raise
        return self._alone(file, verify)

    def _alone(self, file: LabelledFile, verify: bool) -> Measured:
        with self._large:
            return self._measure(file, self._limits.max_pixels, verify)

    def _measure(self, file: LabelledFile, max_pixels: int, verify: bool) -> Measured:
        start = perf_counter()
        data = self._read(file)
        read = perf_counter()
        if verify and hashlib.sha256(data).hexdigest() != file.sha256:
            raise ImageError("changed since the dataset was scanned", reason="unreadable")
        verified = perf_counter()
        decoded = decode(data, max_pixels=max_pixels)
        del data
        ready = perf_counter()
        streams = tensors(decoded, self._streams)
        del decoded
        fed = perf_counter()
        (score,) = self._detector.predict((streams,))
        verdict = self._decision.verdict(score.probability, score.predicted)
        end = perf_counter()
        total = end - verified + read - start
        if total > self._limits.image_seconds:
            raise ImageError(f"took {total:.1f} s, at most {self._limits.image_seconds:g} s", reason="timeout")
        return Measured(score, verdict, read - start, ready - verified, fed - ready, end - fed, total)

    def _read(self, file: LabelledFile) -> bytes:
        try:
            with (self._root / file.path).open("rb", buffering=0) as handle:
                # One byte more than the scan saw tells that the file has grown, without reading all of it.
                data = handle.read(file.size_bytes + 1)
        except OSError as error:
            raise ImageError(f"cannot be read: {error.strerror or error}", reason="unreadable") from error
        if len(data) != file.size_bytes:
            raise ImageError("changed its size since the dataset was scanned", reason="unreadable")
        return data

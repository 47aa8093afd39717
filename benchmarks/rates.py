"""Throughput of each execution mode, relative to the session only."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from benchmarks import results
from benchmarks.results import Cost, cost
from starlight_exporter.analysis.ablation import ablate
from starlight_exporter.dataset.cache import StreamCache
from starlight_exporter.dataset.cache_settings import CacheSettings
from starlight_exporter.dataset.dataset import Dataset, LabelledFile
from starlight_exporter.dataset.layout import scan
from starlight_exporter.detector.compact import CompactImage
from starlight_exporter.detector.contract import STREAMS
from starlight_exporter.detector.decision import PLAIN
from starlight_exporter.detector.decoding import decode
from starlight_exporter.detector.model import Detector
from starlight_exporter.detector.staged import FullModel, Scorer
from starlight_exporter.detector.streams import tensors
from starlight_exporter.evaluation.bulk import BatchPredictor, predict_all
from starlight_exporter.evaluation.image_source import ImageSource
from starlight_exporter.evaluation.request import RunLimits
from starlight_exporter.evaluation.scorers import select_scorer

THREADS: Final = 2
READY_IMAGES: Final = 60
"""Images whose tensors are prepared for the session only, 2.3 MB each."""
LIMITS: Final = RunLimits()
_Item = TypeVar("_Item")


class Rates:
    """One model on one dataset, with a warm cache in a temporary folder."""

    def __init__(self, model: Path, root: Path) -> None:
        self.detector = Detector.load(model)
        self.dataset: Dataset = scan(root.name, root)
        self.files = self.dataset.files
        self.folder = Path(tempfile.mkdtemp(prefix="starlight-bench-"))
        self._bulk(FullModel(self.detector), self.cache())
        self.warm = self.cache()
        self._ready = [self._compact(file).tensors(self.detector.streams) for file in self._spread(READY_IMAGES)]

    def close(self) -> None:
        """Remove the cache."""
        shutil.rmtree(self.folder)

    def cache(self, name: str = "warm") -> StreamCache:
        """Open a cache as a new process does."""
        return StreamCache(CacheSettings(self.folder / name, 64 * 1024**3))

    def sequential(self) -> Cost:
        """Read, decode, build tensors, run the session: one image at a time on one core, as in latency runs."""
        chosen = self._spread(READY_IMAGES)

        def work() -> None:
            for file in chosen:
                self.detector.predict((tensors(decode(self._read(file)), self.detector.streams),))

        return cost(len(chosen), work)

    def full_pipeline(self) -> Cost:
        """Run the same pipeline on all cores."""
        return self._bulk(FullModel(self.detector), None)

    def session_only(self) -> Cost:
        """Run the full model on prepared tensors: one shared session, two threads, one image per call."""
        return self._threaded(lambda ready: self.detector.predict((ready,)), self._ready)

    def cached_full(self) -> Cost:
        """Run the full model on cached streams."""
        return self._bulk(FullModel(self.detector), self.warm)

    def cached_staged(self) -> Cost:
        """Run the staged model on cached streams, as the evaluation of a changed model does."""
        return self._bulk(self.stages(), self.warm)

    def cold(self) -> Cost:
        """Run a first evaluation: read, decode, write the cache, staged model."""
        folder = self.folder / "cold"
        rate = self._bulk(self.stages(), self.cache("cold"))
        shutil.rmtree(folder)
        return rate

    def read_and_decode(self) -> Cost:
        """Read, decode and build tensors on all cores, without the network."""
        return self._threaded(lambda file: tensors(decode(self._read(file)), STREAMS), self._spread(2 * READY_IMAGES))

    def ablations(self) -> Cost:
        """Run a warm evaluation with all eight ablations."""
        scorer, source = self.stages(), ImageSource(self.dataset.root, LIMITS, self.warm)
        return cost(len(self.files), lambda: ablate(scorer, source, PLAIN, self.files, threads=THREADS))

    def stages(self) -> Scorer:
        """Return the staged model, without shared outputs yet."""
        selected = select_scorer(self.detector, PLAIN, self.dataset.root, self.files, limits=LIMITS, seed=0)
        if selected.full_model_reason is not None:
            raise SystemExit(f"{self.detector.path}: the full model runs: {selected.full_model_reason}")
        return selected.scorer

    def _bulk(self, scorer: Scorer, cache: StreamCache | None) -> Cost:
        source = ImageSource(self.dataset.root, LIMITS, cache)
        bulk = BatchPredictor(source, scorer, PLAIN, image_seconds=LIMITS.image_seconds)

        def work() -> None:
            predict_all(bulk, self.files, threads=THREADS, progress=lambda *_: None)
            if cache is not None:
                cache.publish()

        return cost(len(self.files), work)

    def _threaded(self, work: Callable[[_Item], object], items: Sequence[_Item]) -> Cost:
        with ThreadPoolExecutor(THREADS) as pool:
            return cost(len(items), lambda: list(pool.map(work, items)))

    def _compact(self, file: LabelledFile) -> CompactImage:
        return ImageSource(self.dataset.root, LIMITS, self.warm).image(file)

    def _read(self, file: LabelledFile) -> bytes:
        return (self.dataset.root / file.path).read_bytes()

    def _spread(self, count: int) -> Sequence[LabelledFile]:
        return self.files[:: max(1, len(self.files) // count)][:count]


def measure(name: str, model: Path, root: Path, *, runs: int) -> None:
    """Measure all modes in `runs` rounds and record them as one section."""
    rates = Rates(model, root)
    try:
        modes: dict[str, Callable[[], Cost]] = {
            "sequential, one thread": rates.sequential,
            "session only": rates.session_only,
            "full pipeline, two threads": rates.full_pipeline,
            "read and decode only": rates.read_and_decode,
            "cached streams, full model": rates.cached_full,
            "cold cache, staged model": rates.cold,
            "cached streams, staged model": rates.cached_staged,
            "cached streams, staged model, eight ablations": rates.ablations,
        }
        values = results.interleaved(modes, runs)
        results.record(f"rates {name} {root.name}", {"images": len(rates.files), "values": values})
    finally:
        rates.close()

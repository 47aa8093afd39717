"""Images per second of every way to evaluate, and what they are over the bare session of the same round."""

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
"""Tensors that are kept ready for the bare session: 2.3 MB each."""
LIMITS: Final = RunLimits()
_Item = TypeVar("_Item")


class Rates:
    """One model on one dataset, with a warm cache in a folder of its own."""

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
        """A cache as a new process opens it."""
        return StreamCache(CacheSettings(self.folder / name, 64 * 1024**3))

    def one_after_the_other(self) -> Cost:
        """Read, decode, tensors, session: one image at a time on one core, as the exporter times latency."""
        chosen = self._spread(READY_IMAGES)

        def work() -> None:
            for file in chosen:
                self.detector.predict((tensors(decode(self._read(file)), self.detector.streams),))

        return cost(len(chosen), work)

    def everything_in_threads(self) -> Cost:
        """The same on all cores."""
        return self._bulk(FullModel(self.detector), None)

    def bare_session(self) -> Cost:
        """The whole model on ready tensors, one shared session, two threads, one image a call."""
        return self._threaded(lambda ready: self.detector.predict((ready,)), self._ready)

    def cached_whole(self) -> Cost:
        """The whole model on cached streams."""
        return self._bulk(FullModel(self.detector), self.warm)

    def cached_staged(self) -> Cost:
        """The model in stages on cached streams: what an evaluation of a changed model does."""
        return self._bulk(self.stages(), self.warm)

    def cold(self) -> Cost:
        """A first evaluation: read, decode, write the cache, in stages."""
        folder = self.folder / "cold"
        rate = self._bulk(self.stages(), self.cache("cold"))
        shutil.rmtree(folder)
        return rate

    def read_and_decode(self) -> Cost:
        """Reading, decoding and making tensors on all cores, no network."""
        return self._threaded(lambda file: tensors(decode(self._read(file)), STREAMS), self._spread(2 * READY_IMAGES))

    def ablations(self) -> Cost:
        """A warm evaluation together with all eight ablations."""
        scorer, source = self.stages(), ImageSource(self.dataset.root, LIMITS, self.warm)
        return cost(len(self.files), lambda: ablate(scorer, source, PLAIN, self.files, threads=THREADS))

    def stages(self) -> Scorer:
        """The model in stages, with nothing shared yet."""
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
    """All ways, `runs` rounds, recorded as one section."""
    rates = Rates(model, root)
    try:
        ways: dict[str, Callable[[], Cost]] = {
            "one after the other": rates.one_after_the_other,
            "bare session": rates.bare_session,
            "two threads, each doing everything": rates.everything_in_threads,
            "read and decode alone": rates.read_and_decode,
            "cached streams, whole model": rates.cached_whole,
            "cold, in stages": rates.cold,
            "cached streams, in stages": rates.cached_staged,
            "cached streams, in stages, and eight ablations": rates.ablations,
        }
        values = results.interleaved(ways, runs)
        results.record(f"rates {name} {root.name}", {"images": len(rates.files), "values": values})
    finally:
        rates.close()

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
from starlight_exporter.dataset.cache_settings import CacheSettings
from starlight_exporter.dataset.engine import LocalEngine
from starlight_exporter.dataset.found_files import FoundFile
from starlight_exporter.dataset.listing import list_labelled
from starlight_exporter.dataset.sources.folder import FolderSource
from starlight_exporter.detector.compact import CompactImage, compact
from starlight_exporter.detector.contract import STREAMS
from starlight_exporter.detector.decision import PLAIN
from starlight_exporter.detector.decoding import decode
from starlight_exporter.detector.model import Detector
from starlight_exporter.detector.portable import PortableScorer
from starlight_exporter.detector.staged import FullModel, Scorer
from starlight_exporter.detector.streams import tensors
from starlight_exporter.evaluation.bulk import BulkPass
from starlight_exporter.evaluation.request import RunLimits
from starlight_exporter.evaluation.scorers import select_scorer
from starlight_exporter.evaluation.shard_job import EvaluationJob, ImageAccess

THREADS: Final = 2
READY_IMAGES: Final = 60
"""Images whose tensors are prepared for the session only, 2.3 MB each."""
LIMITS: Final = RunLimits()
_Item = TypeVar("_Item")


class Rates:
    """One model on one dataset, with a warm cache in a temporary folder."""

    def __init__(self, model: Path, root: Path) -> None:
        self.detector = Detector.load(model)
        self.root = root
        self.listing = list_labelled(FolderSource(root))
        self.files = self.listing.files
        self.folder = Path(tempfile.mkdtemp(prefix="starlight-bench-"))
        self.warm = CacheSettings(self.folder / "warm", 64 * 1024**3)
        self._bulk(FullModel(self.detector), self.warm)
        self._ready = [self._compact(file).tensors(self.detector.streams) for file in self._spread(READY_IMAGES)]

    def close(self) -> None:
        """Remove the cache."""
        shutil.rmtree(self.folder)

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
        cold = CacheSettings(self.folder / "cold", 64 * 1024**3)
        rate = self._bulk(self.stages(), cold)
        shutil.rmtree(cold.folder)
        return rate

    def read_and_decode(self) -> Cost:
        """Read, decode and build tensors on all cores, without the network."""
        return self._threaded(lambda file: tensors(decode(self._read(file)), STREAMS), self._spread(2 * READY_IMAGES))

    def ablations(self) -> Cost:
        """Run a warm evaluation with all eight ablations."""
        scorer = PortableScorer(self.detector, self.stages(), PLAIN)
        access = ImageAccess(root=self.root, limits=LIMITS, cache=self.warm)
        return cost(len(self.files), lambda: ablate(scorer, access, PLAIN, self.listing, LocalEngine(THREADS)))

    def stages(self) -> Scorer:
        """Return the staged model, without shared outputs yet."""
        selected = select_scorer(self.detector, PLAIN, ImageAccess(root=self.root, limits=LIMITS), self.listing, seed=0)
        if selected.full_model_reason is not None:
            raise SystemExit(f"{self.detector.path}: the full model runs: {selected.full_model_reason}")
        return selected.scorer

    def _bulk(self, scorer: Scorer, cache: CacheSettings | None) -> Cost:
        job = EvaluationJob(
            images=ImageAccess(root=self.root, limits=LIMITS, cache=cache),
            scorer=PortableScorer(self.detector, scorer, PLAIN),
            decision=PLAIN,
        )

        def work() -> None:
            for _ in BulkPass(self.listing).predictions(job, LocalEngine(THREADS), lambda *_: None):
                pass

        return cost(len(self.files), work)

    def _threaded(self, work: Callable[[_Item], object], items: Sequence[_Item]) -> Cost:
        with ThreadPoolExecutor(THREADS) as pool:
            return cost(len(items), lambda: list(pool.map(work, items)))

    def _compact(self, file: FoundFile) -> CompactImage:
        return compact(decode(self._read(file)))

    def _read(self, file: FoundFile) -> bytes:
        return (self.root / file.path).read_bytes()

    def _spread(self, count: int) -> Sequence[FoundFile]:
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

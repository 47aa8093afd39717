"""The evaluation of shards as a job of an engine: it is sent to every process once, and opened there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.activity import NO_ACTIVITY, Activity
from starlight_exporter.dataset.cache import StreamCache, index_folder
from starlight_exporter.dataset.cache_settings import CacheSettings
from starlight_exporter.dataset.categories import CategoryLimit
from starlight_exporter.dataset.content_index import ContentIndex
from starlight_exporter.dataset.dataset import FileFault
from starlight_exporter.dataset.engine import BATCH, Shard
from starlight_exporter.dataset.facts import facts
from starlight_exporter.dataset.shard_reader import ShardReader
from starlight_exporter.dataset.sources.opening import open_source
from starlight_exporter.dataset.sources.root import DatasetRoot
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.detector.portable import PortableScorer
from starlight_exporter.evaluation.image_decoder import ImageDecoder
from starlight_exporter.evaluation.request import RunLimits, RunRequest
from starlight_exporter.evaluation.shard_predictor import ShardPredictor, ShardResult


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImageAccess:
    """How the images of a dataset are read and decoded in any process; picklable."""

    root: DatasetRoot
    limits: RunLimits
    cache: CacheSettings | None = None
    categories: CategoryLimit | None = None
    faults: tuple[FileFault, ...] = ()

    @classmethod
    def of(cls, request: RunRequest, categories: CategoryLimit | None) -> ImageAccess:
        """Return the access of a run to its dataset."""
        return cls(
            root=request.dataset_root,
            limits=request.limits,
            cache=request.cache,
            categories=categories,
            faults=request.faults,
        )

    def start(self, activity: Activity = NO_ACTIVITY, memory_bytes: int | None = None) -> OpenImages:
        """Open source and cache in this process; see `engine.Job`. Raise DatasetError."""
        return OpenImages(replace(self, limits=self.limits.within(memory_bytes)), activity)


class OpenImages:
    """Reader and decoder of one dataset in this process."""

    def __init__(self, access: ImageAccess, activity: Activity = NO_ACTIVITY) -> None:
        self.source = open_source(access.root)
        self.cache = None if access.cache is None else StreamCache(access.cache, str(access.root))
        self._index = None if access.cache is None else ContentIndex(index_folder(access.cache))
        cache = self.cache
        self.reader = ShardReader(
            self.source,
            max_file_bytes=access.limits.max_file_bytes,
            categories=access.categories,
            faults=access.faults,
            index=self._index,
            is_needed=lambda sha256: cache is None or sha256 not in cache,
            activity=activity,
        )
        self.decoder = ImageDecoder(
            access.limits, cache, content=self.reader.content, faults=access.faults, activity=activity
        )

    def close(self) -> None:
        """Make the decoded images available to the next run, and close the source."""
        if self.cache is not None:
            self.cache.publish()
        if self._index is not None:
            self._index.close()
        self.source.close()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EvaluationJob:
    """Predicts the images of shards; see `engine.Job`. `sampled` is that of ShardPredictor."""

    images: ImageAccess
    scorer: PortableScorer
    decision: DecisionRule
    batch: int = BATCH
    sampled: NDArray[np.int64] | None = None

    @property
    def image_seconds(self) -> float:
        """See Job."""
        return self.images.limits.image_seconds

    def start(self, activity: Activity = NO_ACTIVITY, memory_bytes: int | None = None) -> OpenEvaluation:
        """See Job. Raise ModelError or DatasetError."""
        return OpenEvaluation(self, activity, memory_bytes)


class OpenEvaluation:
    """An evaluation in one process; see `engine.OpenJob`."""

    def __init__(self, job: EvaluationJob, activity: Activity, memory_bytes: int | None) -> None:
        scorer = job.scorer.scorer()
        self._images = job.images.start(activity, memory_bytes)
        self._predictor = ShardPredictor(
            self._images.reader,
            self._images.decoder,
            scorer,
            job.decision,
            image_seconds=job.image_seconds,
            observe=facts,
            sampled=job.sampled,
            batch=job.batch,
            activity=activity,
        )

    def run(self, shard: Shard, faults: Sequence[FileFault] = ()) -> ShardResult:
        """See OpenJob."""
        result = self._predictor.predict(shard, faults)
        cache = self._images.cache
        return result if cache is None or cache.problem is None else replace(result, cache_problem=cache.problem)

    def close(self) -> None:
        """See OpenJob."""
        self._images.close()

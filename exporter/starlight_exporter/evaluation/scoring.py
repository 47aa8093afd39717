"""Score images without labels: one verdict per image, and how much of each input stream is used.

The full model scores every image on its own, so that a score does not depend on the other images. Images are scored in
chunks: memory use depends on the number of threads, apart from the paths.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.activity import NO_ACTIVITY, Activity
from starlight_exporter.dataset.dataset import FileFault, LabelledFile
from starlight_exporter.dataset.engine import BATCH, LocalEngine, Shard
from starlight_exporter.dataset.found_files import FoundFile
from starlight_exporter.dataset.labels import Labels
from starlight_exporter.dataset.names import printable_path
from starlight_exporter.dataset.sources.root import DatasetRoot
from starlight_exporter.dataset.walk import find_unlabelled_files
from starlight_exporter.detector.compact import CompactImage
from starlight_exporter.detector.contract import STREAMS, Stream
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.detector.model import Detector
from starlight_exporter.detector.providers import CPU, Providers
from starlight_exporter.detector.staged import FullModel, Scorer
from starlight_exporter.detector.streams import ThreadWorkspace
from starlight_exporter.errors import DatasetError
from starlight_exporter.evaluation.applied_rule import applied_rule, replaced_rule, rule_warnings
from starlight_exporter.evaluation.image_scores import ImageScore, Scoring
from starlight_exporter.evaluation.request import RunLimits
from starlight_exporter.evaluation.results import Prediction
from starlight_exporter.evaluation.shard_job import ImageAccess
from starlight_exporter.evaluation.shard_predictor import ShardPredictor, ShardResult

CHUNK: Final = 256
"""Images that are scored before their scores are yielded."""


def score_images(
    model: Path,
    images: Sequence[Path],
    *,
    decision: DecisionRule,
    threads: int,
    limits: RunLimits | None = None,
    providers: Providers = CPU,
) -> Scoring:
    """Load a model and find the images: files, and all images below folders, except names that datasets ignore.

    Raise ModelError if the model cannot be used, and DatasetError for a path that does not exist, and if there is no
    image.
    """
    detector = Detector.load(model, providers=providers)
    inputs = [one for path in images for one in _inputs(path)]
    if not inputs:
        raise DatasetError(f"{', '.join(map(str, images))}: no images")
    rule = applied_rule(detector, decision)
    scorer = _ChunkScorer(detector, rule, RunLimits() if limits is None else limits, threads)
    return Scoring(
        model=model,
        model_sha256=detector.sha256,
        decision=rule.describe(),
        replaced_decision=replaced_rule(decision, rule),
        streams=tuple(stream for stream in STREAMS if stream in detector.streams),
        images=len(inputs),
        scores=scorer.scores(inputs),
        warnings=rule_warnings(detector, decision),
    )


@dataclass(frozen=True, slots=True)
class _Input:
    shown: str
    file: FoundFile


def _inputs(path: Path) -> Iterator[_Input]:
    try:
        # A file that is named may be a link to anywhere; links in a folder may not leave it.
        real = Path(os.path.realpath(path, strict=True))
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror or error}") from error
    if not real.is_dir():
        yield _Input(printable_path(str(path)), FoundFile(real.parent, real.name, "unlabelled"))
        return
    for file in find_unlabelled_files(path):
        yield _Input(printable_path(str(path / file.path)), file)


class _ChunkScorer:
    def __init__(self, detector: Detector, rule: DecisionRule, limits: RunLimits, threads: int) -> None:
        self._model = FullModel(detector)
        self._rule = rule
        self._limits = limits
        self._threads = threads

    def scores(self, inputs: Sequence[_Input]) -> Iterator[ImageScore]:
        """Yield the scores, in order."""
        for root, group in groupby(inputs, key=lambda one: one.file.root):
            files = iter(group)
            while chunk := list(islice(files, CHUNK)):
                yield from self._chunk(root, chunk)

    def _chunk(self, root: DatasetRoot, chunk: Sequence[_Input]) -> Iterator[ImageScore]:
        job = _ScoreJob(root, self._limits, self._model, self._rule)
        files = [replace(one.file, labels=Labels()) for one in chunk]
        shards = [files[start : start + BATCH] for start in range(0, len(files), BATCH)]
        inputs = iter(chunk)
        for result in LocalEngine(self._threads).map(job, shards, progress=_no_progress):
            nonzero = dict(zip(result.observed_rows, result.observed.tolist(), strict=True))
            for row, prediction in enumerate(result.predictions):
                shares = nonzero.get(row, [])
                yield _score(next(inputs).shown, prediction, dict(zip(STREAMS, shares, strict=False)))


@dataclass(frozen=True, slots=True)
class _ScoreJob:
    """Scores shards of images; see `engine.Job`. It is not sent to other processes."""

    root: DatasetRoot
    limits: RunLimits
    model: Scorer
    rule: DecisionRule

    @property
    def image_seconds(self) -> float:
        return self.limits.image_seconds

    def start(self, activity: Activity = NO_ACTIVITY, memory_bytes: int | None = None) -> _OpenScores:
        return _OpenScores(self, activity, memory_bytes)


class _OpenScores:
    def __init__(self, job: _ScoreJob, activity: Activity, memory_bytes: int | None) -> None:
        self._images = ImageAccess(root=job.root, limits=job.limits).start(activity, memory_bytes)
        self._predictor = ShardPredictor(
            self._images.reader,
            self._images.decoder,
            job.model,
            job.rule,
            image_seconds=job.image_seconds,
            observe=_NonzeroShares(),
            activity=activity,
        )

    def run(self, shard: Shard, faults: Sequence[FileFault] = ()) -> ShardResult:
        return self._predictor.predict(shard, faults)

    def close(self) -> None:
        self._images.close()


class _NonzeroShares:
    """Returns the share of values of each stream that are not zero. Thread-safe."""

    def __init__(self) -> None:
        self._workspace = ThreadWorkspace(frozenset(STREAMS))

    def __call__(self, _file: LabelledFile, image: CompactImage) -> NDArray[np.float64]:
        tensors = image.tensors(STREAMS, out=self._workspace.arrays)
        return np.array([np.count_nonzero(tensors[stream]) / tensors[stream].size for stream in STREAMS])


def _score(shown: str, prediction: Prediction, nonzero: Mapping[Stream, float]) -> ImageScore:
    return ImageScore(
        path=shown,
        verdict=prediction.verdict,
        probability=prediction.probability,
        predicted_method=prediction.predicted_method,
        not_measured=prediction.not_measured,
        detail=prediction.detail.removeprefix(f"{prediction.path}: "),
        image_format=prediction.image_format,
        width=prediction.facts.width,
        height=prediction.facts.height,
        sha256=prediction.sha256,
        nonzero=nonzero,
    )


def _no_progress(_done: int) -> None:
    """Ignore the progress within a chunk."""

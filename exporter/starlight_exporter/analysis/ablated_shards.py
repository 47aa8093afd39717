"""The two maps of a stream ablation as jobs of an engine: means of streams, and scores without each stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.activity import NO_ACTIVITY, Activity
from starlight_exporter.analysis.modes import AblationMode
from starlight_exporter.dataset.dataset import FileFault, LabelledFile
from starlight_exporter.dataset.engine import BATCH, Shard
from starlight_exporter.detector.arrays import Tensor
from starlight_exporter.detector.compact import CompactImage
from starlight_exporter.detector.contract import STREAM_SHAPES, Method, Stream
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.detector.model import Score
from starlight_exporter.detector.portable import PortableScorer
from starlight_exporter.errors import ImageError
from starlight_exporter.evaluation.predictions import measured
from starlight_exporter.evaluation.results import Prediction
from starlight_exporter.evaluation.shard_job import ImageAccess, OpenImages

_BYTE = 255.0
"""The values of streams of bytes and bits are multiples of 1/255: their sums are integers, which do not depend on the
order of the images."""
_FEATURES: frozenset[Stream] = frozenset(("format", "content"))


@dataclass(frozen=True, slots=True)
class AblatedScore:
    """The score of an image without a stream."""

    probability: float
    predicted: Method | None


@dataclass(frozen=True, slots=True)
class AblatedImage:
    """Prediction of the full model, and the score without each stream; None if the input is the same."""

    full: Prediction
    without: Mapping[Stream, AblatedScore | None]


@dataclass(frozen=True, slots=True, eq=False)
class StreamSums:
    """Sums of the streams of a shard: integers, in 255ths, and the values of every image for streams of features."""

    images: int
    sums: Mapping[Stream, NDArray[np.int64]]
    features: Mapping[Stream, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeansJob:
    """Adds up the streams of shards; see `engine.Job`."""

    images: ImageAccess
    streams: tuple[Stream, ...]

    @property
    def image_seconds(self) -> float:
        """See Job."""
        return self.images.limits.image_seconds

    def start(self, activity: Activity = NO_ACTIVITY, memory_bytes: int | None = None) -> _OpenMeans:
        """See Job."""
        return _OpenMeans(self.images.start(activity, memory_bytes), self.streams)


class _OpenMeans:
    def __init__(self, images: OpenImages, streams: tuple[Stream, ...]) -> None:
        self._images = images
        self._streams = streams

    def run(self, shard: Shard, faults: Sequence[FileFault] = ()) -> StreamSums:
        """See OpenJob."""
        planes = [stream for stream in self._streams if stream not in _FEATURES]
        sums = {stream: np.zeros(STREAM_SHAPES[stream], np.int64) for stream in planes}
        features: dict[Stream, list[Tensor]] = {stream: [] for stream in self._streams if stream in _FEATURES}
        scratch = {stream: np.empty(STREAM_SHAPES[stream], np.float32) for stream in planes}
        images = 0
        for _, image in _decoded(self._images, shard, faults):
            images += 1
            for stream in planes:
                sums[stream] += np.rint(image.tensor(stream, scratch[stream]) * _BYTE).astype(np.int64)
            for stream, values in features.items():
                values.append(image.tensor(stream, np.empty(STREAM_SHAPES[stream], np.float32)))
        return StreamSums(
            images,
            sums,
            {
                stream: np.array(rows, np.float32).reshape(-1, *STREAM_SHAPES[stream])
                for stream, rows in features.items()
            },
        )

    def close(self) -> None:
        """See OpenJob."""
        self._images.close()


class MeanStreams:
    """Means of streams over all images, from the sums of their shards in order."""

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._images = 0
        self._sums: dict[Stream, NDArray[np.int64]] = {}
        self._features: dict[Stream, NDArray[np.float64]] = {}
        for stream in streams:
            if stream in _FEATURES:
                self._features[stream] = np.zeros(STREAM_SHAPES[stream])
            else:
                self._sums[stream] = np.zeros(STREAM_SHAPES[stream], np.int64)

    def add(self, shard: StreamSums) -> None:
        """Add a shard."""
        self._images += shard.images
        for stream, total in shard.sums.items():
            self._sums[stream] += total
        for stream, rows in shard.features.items():
            # One by one: then the sum does not depend on the sizes of the shards.
            for row in rows:
                self._features[stream] += row

    def means(self) -> dict[Stream, Tensor]:
        """Return the mean of each stream."""
        images = max(1, self._images)
        planes = {stream: (total / _BYTE / images).astype(np.float32) for stream, total in self._sums.items()}
        return planes | {stream: (total / images).astype(np.float32) for stream, total in self._features.items()}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AblationJob:
    """Scores the images of shards with and without each stream; see `engine.Job`.

    `streams` are read by the model. `means` has a tensor for each of them in mode `mean`.
    """

    images: ImageAccess
    scorer: PortableScorer
    decision: DecisionRule
    mode: AblationMode
    streams: tuple[Stream, ...]
    means: Mapping[Stream, Tensor]

    @property
    def image_seconds(self) -> float:
        """See Job."""
        return self.images.limits.image_seconds

    def start(self, activity: Activity = NO_ACTIVITY, memory_bytes: int | None = None) -> _OpenAblation:
        """See Job."""
        return _OpenAblation(self, activity, memory_bytes)


class _OpenAblation:
    def __init__(self, job: AblationJob, activity: Activity, memory_bytes: int | None) -> None:
        self._job = job
        self._scorer = job.scorer.scorer()
        self._images = job.images.start(activity, memory_bytes)

    def run(self, shard: Shard, faults: Sequence[FileFault] = ()) -> tuple[AblatedImage, ...]:
        """Return the results of the images that were measured with and without every stream."""
        return tuple(one for chunk in _chunks(shard) for one in self._ablated(chunk, faults))

    def close(self) -> None:
        """See OpenJob."""
        self._images.close()

    def _ablated(self, files: Shard, faults: Sequence[FileFault]) -> Iterator[AblatedImage]:
        ready = list(_decoded(self._images, files, faults))
        inputs: list[CompactImage] = []
        places: list[dict[Stream | None, int]] = []
        for number, (_, image) in enumerate(ready):
            place: dict[Stream | None, int] = {None: len(inputs)}
            inputs.append(image)
            # A cycle through a random chunk: every image receives the stream of the next one.
            donor = ready[(number + 1) % len(ready)][1]
            for stream in self._job.streams:
                ablated = self._without(image, stream, donor)
                if ablated.digests[stream] != image.digests[stream]:
                    place[stream] = len(inputs)
                    inputs.append(ablated)
            places.append(place)
        scores = self._scorer.score(inputs)
        for (file, _), place in zip(ready, places, strict=True):
            found = {key: scores[index] for key, index in place.items()}
            full = found.pop(None)
            ablated_scores = {key: _ablated_score(score) for key, score in found.items()}
            if isinstance(full, Score) and None not in ablated_scores.values():
                without = {stream: ablated_scores.get(stream) for stream in self._job.streams}
                yield AblatedImage(measured(file, full, self._job.decision), without)

    def _without(self, image: CompactImage, stream: Stream, donor: CompactImage) -> CompactImage:
        match self._job.mode:
            case "zero":
                return image.without(stream)
            case "mean":
                return image.with_tensor(stream, self._job.means[stream])
            case "shuffle":
                return image.with_stream_of(stream, donor)


def _ablated_score(score: Score | ImageError) -> AblatedScore | None:
    return AblatedScore(score.probability, score.predicted) if isinstance(score, Score) else None


def _chunks(files: Shard) -> list[Shard]:
    chunks = [files[start : start + BATCH] for start in range(0, len(files), BATCH)]
    if len(chunks) > 1 and len(chunks[-1]) == 1:
        # A single image has no other image to take a stream from.
        last = chunks.pop()
        chunks[-1] = [*chunks[-1], *last]
    return chunks


def _decoded(
    images: OpenImages, shard: Shard, faults: Sequence[FileFault]
) -> Iterator[tuple[LabelledFile, CompactImage]]:
    for read in images.reader.files(shard, faults):
        if read.file.problem is None:
            try:
                image, _ = images.decoder.decoded(read, faults)
            except ImageError:
                # Counted as not measured; the evaluation of the same dataset reports the reason.
                continue
            yield read.file, image

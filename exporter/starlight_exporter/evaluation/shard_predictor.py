"""Predict the images of a shard: read, decode, score; one prediction per file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.activity import NO_ACTIVITY, Activity
from starlight_exporter.dataset.dataset import FileFault, LabelledFile
from starlight_exporter.dataset.embedding import reaches_crop
from starlight_exporter.dataset.engine import BATCH, Shard
from starlight_exporter.dataset.shard_reader import ReadFile, ShardReader
from starlight_exporter.detector.compact import CompactImage
from starlight_exporter.detector.contract import EMBEDDING_SIZE
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.detector.model import Score
from starlight_exporter.detector.staged import Scorer
from starlight_exporter.errors import EvaluationError, ImageError, StarlightError
from starlight_exporter.evaluation.image_decoder import ImageDecoder, Tally
from starlight_exporter.evaluation.predictions import listed_facts, measured, not_measured
from starlight_exporter.evaluation.results import FileFacts, Prediction

Observe = Callable[[LabelledFile, CompactImage], NDArray[np.float64]]
"""Returns values of a decoded image, always the same number, so that no image is decoded again for them."""


@dataclass(frozen=True, slots=True, eq=False)
class ShardResult:
    """Predictions of a shard, in the order of its files.

    `observed` has one row per image that was observed, `carriers` its format and mode, and `observed_rows` its place in
    `predictions`; likewise `embeddings` of shape (images, EMBEDDING_SIZE) and `embedding_rows`. `readable` is the
    number of files without a problem before they were decoded, `cached` that of images from the cache; `cache_problem`
    is why images could not be stored.
    """

    predictions: tuple[Prediction, ...]
    observed: NDArray[np.float64]
    observed_rows: tuple[int, ...]
    carriers: tuple[str, ...]
    embeddings: NDArray[np.float32]
    embedding_rows: tuple[int, ...]
    readable: int
    cached: int = 0
    cache_problem: str | None = None


class ShardPredictor:
    """Predicts the shards of one dataset with one model. Thread-safe.

    `sampled` are the numbers of the images that are observed and whose embeddings are returned, ascending; None for
    all.
    """

    def __init__(
        self,
        reader: ShardReader,
        decoder: ImageDecoder,
        scorer: Scorer,
        decision: DecisionRule,
        *,
        image_seconds: float,
        observe: Observe,
        sampled: NDArray[np.int64] | None = None,
        batch: int = BATCH,
        activity: Activity = NO_ACTIVITY,
    ) -> None:
        self._reader = reader
        self._decoder = decoder
        self._scorer = scorer
        self._decision = decision
        self._image_seconds = image_seconds
        self._observe = observe
        self._sampled = sampled
        self._batch = batch
        self._activity = activity

    def predict(self, shard: Shard, faults: Sequence[FileFault] = ()) -> ShardResult:
        """Return the predictions of a shard.

        Raise EvaluationError, which names the files, for any failure that is not an ImageError: it is a bug.
        """
        collected = _Collected(self._chosen(shard))
        files = self._reader.files(shard, faults)
        for _ in range(0, len(shard), self._batch):
            self._predict_batch(islice(files, self._batch), faults, collected)
        return collected.result()

    def _chosen(self, shard: Shard) -> list[bool]:
        """Return which images of a shard are in the sample."""
        if self._sampled is None:
            return [True] * len(shard)
        numbers = np.array([file.number for file in shard])
        return [bool(one) for one in np.isin(numbers, self._sampled)]

    def _predict_batch(self, batch: islice[ReadFile], faults: Sequence[FileFault], collected: _Collected) -> None:
        """Append one prediction per file.

        Their `seconds` are the time to read and decode the image plus an equal share of the time to score the batch.
        """
        decoded = self._decode_batch(batch, faults, collected)
        if not decoded:
            return
        start = perf_counter()
        scores = self._scores([one.image for one in decoded], [one.file for one in decoded])
        share = (perf_counter() - start) / len(decoded)
        for one, score in zip(decoded, scores, strict=True):
            prediction = collected.predictions[one.place] = self._prediction(one, score, one.seconds + share)
            if isinstance(score, Score) and prediction.verdict is not None:
                collected.embed(one.place, score)

    def _decode_batch(
        self, batch: islice[ReadFile], faults: Sequence[FileFault], collected: _Collected
    ) -> list[_Decoded]:
        """Return the images of a batch; append the prediction of each file that is not scored, None for the others."""
        decoded = []
        for place, read in enumerate(batch, len(collected.predictions)):
            file = read.file
            collected.readable += file.problem is None
            try:
                image, seconds = self._image(read, faults, collected.tally)
            except ImageError as error:
                collected.predictions.append(not_measured(file, error))
                continue
            collected.predictions.append(None)
            decoded.append(_Decoded(place, file, image, seconds))
            if collected.chosen[place]:
                collected.observe(place, image, self._observe(file, image))
        return decoded

    def _image(self, read: ReadFile, faults: Sequence[FileFault], tally: Tally) -> tuple[CompactImage, float]:
        file = read.file
        if file.problem is not None:
            raise ImageError(file.problem.text, reason=file.problem.reason)
        try:
            return self._decoder.decoded(read, faults, tally)
        except ImageError as error:
            raise ImageError(f"{file.path}: {error}", reason=error.reason) from error
        except StarlightError:
            raise
        except Exception as error:
            raise EvaluationError(f"{file.path}: {type(error).__name__}: {error}") from error

    def _scores(self, images: Sequence[CompactImage], files: Sequence[LabelledFile]) -> list[Score | ImageError]:
        try:
            with self._activity.during("score", *(file.path for file in files)):
                return self._scorer.score(images)
        except StarlightError:
            raise
        except Exception as error:
            names = files[0].path if len(files) == 1 else f"{files[0].path} to {files[-1].path}"
            raise EvaluationError(f"{names}: {type(error).__name__}: {error}") from error

    def _prediction(self, one: _Decoded, score: Score | ImageError, seconds: float) -> Prediction:
        file = one.file
        if isinstance(score, ImageError):
            return not_measured(file, ImageError(f"{file.path}: {score}", reason=score.reason))
        if seconds > self._image_seconds:
            text = f"{file.path}: took {seconds:.1f} s, at most {self._image_seconds:g} s"
            return not_measured(file, ImageError(text, reason="timeout"))
        return measured(file, score, self._decision, seconds=seconds, facts=_facts(file, one.image))


@dataclass(frozen=True, slots=True, eq=False)
class _Decoded:
    """A decoded image of a shard, with its place in it."""

    place: int
    file: LabelledFile
    image: CompactImage
    seconds: float


class _Collected:
    """What was collected of a shard so far; `chosen` are the images in the sample."""

    def __init__(self, chosen: list[bool]) -> None:
        self.chosen = chosen
        self.predictions: list[Prediction | None] = []
        self.readable = 0
        self.tally = Tally()
        self._observed: list[NDArray[np.float64]] = []
        self._observed_rows: list[int] = []
        self._carriers: list[str] = []
        self._embeddings: list[NDArray[np.float32]] = []
        self._embedding_rows: list[int] = []

    def observe(self, place: int, image: CompactImage, values: NDArray[np.float64]) -> None:
        self._observed.append(values)
        self._observed_rows.append(place)
        self._carriers.append(f"{image.image_format} {image.mode}")

    def embed(self, place: int, score: Score) -> None:
        if score.embedding is not None and self.chosen[place]:
            self._embeddings.append(score.embedding)
            self._embedding_rows.append(place)

    def result(self) -> ShardResult:
        return ShardResult(
            predictions=tuple(one for one in self.predictions if one is not None),
            observed=np.array(self._observed, np.float64).reshape(len(self._observed), -1 if self._observed else 0),
            observed_rows=tuple(self._observed_rows),
            carriers=tuple(self._carriers),
            embeddings=np.array(self._embeddings, np.float32).reshape(-1, EMBEDDING_SIZE),
            embedding_rows=tuple(self._embedding_rows),
            readable=self.readable,
            cached=self.tally.cached,
        )


def _facts(file: LabelledFile, image: CompactImage) -> FileFacts:
    return replace(
        listed_facts(file),
        width=image.width,
        height=image.height,
        mode=image.mode,
        exif_bytes=image.exif_bytes,
        tail_bytes=image.tail_bytes,
        reaches_crop=_reaches_crop(file, image),
    )


def _reaches_crop(file: LabelledFile, image: CompactImage) -> bool | None:
    if file.reaches_crop is not None or file.method is None or file.payload_bytes is None:
        return file.reaches_crop
    return reaches_crop(file.method, file.payload_bytes, image.width, image.height)

"""Bulk pass: score every image of a dataset once, on all cores.

Each thread reads, decodes and scores a few files at a time, so that decoding on one thread overlaps with inference on
another. Memory use depends on the number of threads, not on the size of the dataset.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from time import perf_counter
from typing import Final, Protocol

from starlight_exporter.activity import NO_ACTIVITY, Activity
from starlight_exporter.dataset.dataset import LabelledFile
from starlight_exporter.dataset.embedding import reaches_crop
from starlight_exporter.dataset.facts import FactCollector
from starlight_exporter.detector.compact import CompactImage
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.detector.model import Score
from starlight_exporter.detector.staged import Scorer
from starlight_exporter.errors import EvaluationError, ImageError, StarlightError
from starlight_exporter.evaluation.embedding_table import EmbeddingCollector
from starlight_exporter.evaluation.image_source import ImageSource
from starlight_exporter.evaluation.predictions import measured, not_measured
from starlight_exporter.evaluation.progress import Progress
from starlight_exporter.evaluation.request import BATCH
from starlight_exporter.evaluation.results import FileFacts, Prediction

_PROGRESS_SECONDS: Final = 0.1


class ImageObserver(Protocol):
    """Collects something of every decoded image, so that no image is decoded again for it. Thread-safe."""

    def add(self, file: LabelledFile, image: CompactImage) -> None:
        """Add one image."""


class BatchPredictor:
    """Predict batches of files of one dataset with one model; thread-safe.

    `facts` is called with every decoded image, so that no image is decoded again for its facts; `embeddings` collects
    the embedding of every measured image, if the model returns one.
    """

    def __init__(
        self,
        source: ImageSource,
        scorer: Scorer,
        decision: DecisionRule,
        *,
        image_seconds: float,
        facts: ImageObserver | None = None,
        embeddings: EmbeddingCollector | None = None,
        activity: Activity = NO_ACTIVITY,
    ) -> None:
        self._source = source
        self._scorer = scorer
        self._decision = decision
        self._image_seconds = image_seconds
        self._facts: ImageObserver = FactCollector() if facts is None else facts
        self._embeddings = EmbeddingCollector() if embeddings is None else embeddings
        self._activity = activity

    def predict(self, files: Sequence[LabelledFile]) -> list[Prediction]:
        """Return one prediction per file, in order.

        `seconds` is the time to read and decode the image plus an equal share of the inference time of the batch.
        """
        results: list[Prediction | None] = [None] * len(files)
        decoded: list[tuple[int, CompactImage, float]] = []
        for index, file in enumerate(files):
            try:
                image, seconds = self._image(file)
            except ImageError as error:
                results[index] = not_measured(file, error)
            else:
                decoded.append((index, image, seconds))
                self._facts.add(file, image)
        start = perf_counter()
        scores: list[Score | ImageError] = []
        if decoded:
            scores = self._scores([image for _, image, _ in decoded], [files[index] for index, _, _ in decoded])
        share = (perf_counter() - start) / max(1, len(decoded))
        for (index, image, seconds), score in zip(decoded, scores, strict=True):
            results[index] = self._prediction(files[index], image, score, seconds + share)
        return [result for result in results if result is not None]

    def _image(self, file: LabelledFile) -> tuple[CompactImage, float]:
        if file.problem is not None:
            raise ImageError(file.problem.text, reason=file.problem.reason)
        try:
            return self._source.timed(file)
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

    def _prediction(
        self, file: LabelledFile, image: CompactImage, score: Score | ImageError, seconds: float
    ) -> Prediction:
        if isinstance(score, ImageError):
            return not_measured(file, ImageError(f"{file.path}: {score}", reason=score.reason))
        if seconds > self._image_seconds:
            text = f"{file.path}: took {seconds:.1f} s, at most {self._image_seconds:g} s"
            return not_measured(file, ImageError(text, reason="timeout"))
        if score.embedding is not None:
            self._embeddings.add(file.path, score.embedding)
        return measured(file, score, self._decision, seconds=seconds, facts=_facts(file, image))


def predict_all(
    predictor: BatchPredictor,
    files: Sequence[LabelledFile],
    *,
    threads: int,
    batch: int = BATCH,
    progress: Progress,
) -> tuple[Prediction, ...]:
    """Return one prediction per file, in order; only `seconds` depends on the number of threads.

    Raise EvaluationError, which names the files, for any failure that is not an ImageError: it is a bug.
    """
    work = _SharedWork(predictor, files, batch)
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="evaluate") as pool:
        try:
            pending = {pool.submit(work.run) for _ in range(threads)}
            while pending:
                finished, pending = wait(pending, timeout=_PROGRESS_SECONDS, return_when=FIRST_EXCEPTION)
                for worker in finished:
                    worker.result()
                progress(work.done, len(files))
        finally:
            work.stop()
    return work.predictions()


class _SharedWork:
    """State shared by the threads: the next chunk, and the results."""

    def __init__(self, predictor: BatchPredictor, files: Sequence[LabelledFile], batch: int) -> None:
        self._predictor = predictor
        self._files = files
        self._results: list[Prediction | None] = [None] * len(files)
        self._batch = batch
        self._next: Iterator[int] = iter(range(0, len(files), batch))
        self._lock = threading.Lock()
        self._stopped = False
        self.done = 0

    def stop(self) -> None:
        """Make every thread end after its current chunk."""
        self._stopped = True

    def run(self) -> None:
        """Process chunks until none is left."""
        while not self._stopped:
            with self._lock:
                start = next(self._next, None)
            if start is None:
                return
            predictions = self._predictor.predict(self._files[start : start + self._batch])
            with self._lock:
                self._results[start : start + len(predictions)] = predictions
                self.done += len(predictions)

    def predictions(self) -> tuple[Prediction, ...]:
        """Return all results, in the order of the files."""
        return tuple(result for result in self._results if result is not None)


def _facts(file: LabelledFile, image: CompactImage) -> FileFacts:
    return FileFacts(
        size_bytes=file.size_bytes,
        width=image.width,
        height=image.height,
        mode=image.mode,
        exif_bytes=image.exif_bytes,
        tail_bytes=image.tail_bytes,
        bit_order=file.bit_order,
        payload_bytes=file.payload_bytes,
        cover=file.cover,
        source=file.source,
        reaches_crop=_reaches_crop(file, image),
    )


def _reaches_crop(file: LabelledFile, image: CompactImage) -> bool | None:
    if file.reaches_crop is not None or file.method is None or file.payload_bytes is None:
        return file.reaches_crop
    return reaches_crop(file.method, file.payload_bytes, image.width, image.height)

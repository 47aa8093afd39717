"""Every image of a dataset once, on all cores: each thread takes a few files, reads, decodes and scores them.

One thread reads or decodes while another is in the network, and none waits for another at the end of anything but its
own files. What is in memory at a time are the files in the threads' hands, however many there are in all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from time import perf_counter
from typing import Final

from starlight_exporter.dataset.dataset import LabelledFile
from starlight_exporter.dataset.facts import FactCollector
from starlight_exporter.detector.compact import CompactImage
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.detector.model import Score
from starlight_exporter.detector.staged import HEAD_BATCH, Scorer
from starlight_exporter.errors import EvaluationError, ImageError, StarlightError
from starlight_exporter.evaluation.reading import ImageSource
from starlight_exporter.evaluation.results import FileFacts, Prediction

Progress = Callable[[int, int], None]
"""Called with how many images are done, and of how many."""

CHUNK: Final = HEAD_BATCH
_PROGRESS_SECONDS: Final = 0.1


class BulkPass:
    """How images of one dataset become verdicts of one model; safe with several threads.

    Every image that was decoded is shown to `facts`, so that nobody has to decode it once more to look at the data.
    """

    def __init__(
        self,
        source: ImageSource,
        scorer: Scorer,
        decision: DecisionRule,
        *,
        image_seconds: float,
        facts: FactCollector | None = None,
    ) -> None:
        self._source = source
        self._scorer = scorer
        self._decision = decision
        self._image_seconds = image_seconds
        self._facts = FactCollector() if facts is None else facts

    def predict(self, files: Sequence[LabelledFile]) -> list[Prediction]:
        """One Prediction per file, in order. An image's time is its own up to the network, and its share from there."""
        results: list[Prediction | None] = [None] * len(files)
        ready: list[tuple[int, CompactImage, float]] = []
        for index, file in enumerate(files):
            found = self._image(file)
            if isinstance(found, ImageError):
                results[index] = _not_measured(file, found)
            else:
                image, seconds = found
                ready.append((index, image, seconds))
                self._facts.add(file, image)
        start = perf_counter()
        scores = self._scores([image for _, image, _ in ready], [files[index] for index, _, _ in ready])
        share = (perf_counter() - start) / max(1, len(ready))
        for (index, image, seconds), score in zip(ready, scores, strict=True):
            prediction = self._prediction(files[index], score, seconds + share)
            results[index] = replace(prediction, facts=_facts(files[index], image))
        return [result for result in results if result is not None]

    def _image(self, file: LabelledFile) -> tuple[CompactImage, float] | ImageError:
        if file.problem is not None:
            return ImageError(file.problem.text, reason=file.problem.reason)
        try:
            return self._source.timed(file)
        except ImageError as error:
            return ImageError(f"{file.path}: {error}", reason=error.reason)
        except StarlightError:
            raise
        except Exception as error:
            raise EvaluationError(f"{file.path}: {type(error).__name__}: {error}") from error

    def _scores(self, images: Sequence[CompactImage], files: Sequence[LabelledFile]) -> list[Score | ImageError]:
        try:
            return self._scorer.score(images)
        except StarlightError:
            raise
        except Exception as error:
            names = files[0].path if len(files) == 1 else f"{files[0].path} to {files[-1].path}"
            raise EvaluationError(f"{names}: {type(error).__name__}: {error}") from error

    def _prediction(self, file: LabelledFile, score: Score | ImageError, seconds: float) -> Prediction:
        if isinstance(score, ImageError):
            return _not_measured(file, ImageError(f"{file.path}: {score}", reason=score.reason))
        if seconds > self._image_seconds:
            text = f"{file.path}: took {seconds:.1f} s, at most {self._image_seconds:g} s"
            return _not_measured(file, ImageError(text, reason="timeout"))
        return Prediction(
            path=file.path,
            sha256=file.sha256,
            file_class=file.file_class,
            method=file.method,
            category=file.category,
            image_format=file.image_format,
            probability=score.probability,
            predicted_method=score.predicted,
            verdict=self._decision.verdict(score.probability, score.predicted),
            not_measured=None,
            detail="",
            seconds=seconds,
        )


def predict_all(
    bulk: BulkPass, files: Sequence[LabelledFile], *, threads: int, progress: Progress
) -> tuple[Prediction, ...]:
    """One Prediction per file, in the files' order, equal whatever the number of threads (`seconds` apart).

    EvaluationError names the files whose handling failed in a way that is no ImageError: a bug, and no bad image.
    """
    run = _Run(bulk, files)
    with ThreadPoolExecutor(max_workers=threads, thread_name_prefix="evaluate") as pool:
        try:
            workers = {pool.submit(run.work) for _ in range(threads)}
            pending = workers
            while pending:
                finished, pending = wait(pending, timeout=_PROGRESS_SECONDS, return_when=FIRST_EXCEPTION)
                for worker in finished:
                    worker.result()
                progress(run.done, len(files))
        finally:
            run.stop()
    return run.predictions()


class _Run:
    """The state that the threads share: what is next, and the places of the results."""

    def __init__(self, bulk: BulkPass, files: Sequence[LabelledFile]) -> None:
        self._bulk = bulk
        self._files = files
        self._results: list[Prediction | None] = [None] * len(files)
        self._next: Iterator[int] = iter(range(0, len(files), CHUNK))
        self._lock = threading.Lock()
        self._stopped = False
        self.done = 0

    def stop(self) -> None:
        """Let every thread end after the files in its hands."""
        self._stopped = True

    def work(self) -> None:
        """Take the next files until there are none: what one thread does."""
        while not self._stopped:
            with self._lock:
                start = next(self._next, None)
            if start is None:
                return
            predictions = self._bulk.predict(self._files[start : start + CHUNK])
            with self._lock:
                self._results[start : start + len(predictions)] = predictions
                self.done += len(predictions)

    def predictions(self) -> tuple[Prediction, ...]:
        """All results, in order."""
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
    )


def _not_measured(file: LabelledFile, error: ImageError) -> Prediction:
    return Prediction(
        path=file.path,
        sha256=file.sha256,
        file_class=file.file_class,
        method=file.method,
        category=file.category,
        image_format=file.image_format,
        probability=None,
        predicted_method=None,
        verdict=None,
        not_measured=error.reason,
        detail=str(error),
        seconds=None,
        facts=FileFacts(size_bytes=file.size_bytes, bit_order=file.bit_order, payload_bytes=file.payload_bytes),
    )

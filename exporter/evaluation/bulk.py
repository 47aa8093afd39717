"""Every image of a dataset once, on all cores: threads that share one session, each with one image in hand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from exporter.dataset.dataset import LabelledFile
from exporter.errors import EvaluationError, ImageError, StarlightError
from exporter.evaluation.evaluation import Prediction
from exporter.evaluation.measurement import Measurement

Progress = Callable[[int, int], None]
"""Called with how many images are done, and of how many."""

_PROGRESS_SECONDS = 0.1


def predict_all(
    measurement: Measurement, files: Sequence[LabelledFile], *, threads: int, progress: Progress
) -> tuple[Prediction, ...]:
    """One Prediction per file, in the files' order, equal whatever the number of threads (`seconds` apart).

    EvaluationError names the file whose handling failed in a way that is no ImageError: that is a bug, not a bad image.
    """
    run = _BulkPass(measurement, files)
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


class _BulkPass:
    """The state that the threads share: what is next, and the places of the results."""

    def __init__(self, measurement: Measurement, files: Sequence[LabelledFile]) -> None:
        self._measurement = measurement
        self._results: list[Prediction | None] = [None] * len(files)
        self._next: Iterator[tuple[int, LabelledFile]] = iter(enumerate(files))
        self._lock = threading.Lock()
        self._stopped = False
        self.done = 0

    def stop(self) -> None:
        """Let every thread end after the image in its hands."""
        self._stopped = True

    def work(self) -> None:
        """Take the next file until there is none: what one thread does."""
        while not self._stopped:
            with self._lock:
                item = next(self._next, None)
            if item is None:
                return
            index, file = item
            self._results[index] = self._predict(file)
            with self._lock:
                self.done += 1

    def predictions(self) -> tuple[Prediction, ...]:
        """All results, in order."""
        return tuple(result for result in self._results if result is not None)

    def _predict(self, file: LabelledFile) -> Prediction:
        if file.problem is not None:
            return _not_measured(file, ImageError(file.problem.text, reason=file.problem.reason))
        try:
            measured = self._measurement.measure(file)
        except ImageError as error:
            return _not_measured(file, ImageError(f"{file.path}: {error}", reason=error.reason))
        except StarlightError:
            raise
        except Exception as error:
            raise EvaluationError(f"{file.path}: {type(error).__name__}: {error}") from error
        return Prediction(
            path=file.path,
            sha256=file.sha256,
            file_class=file.file_class,
            method=file.method,
            category=file.category,
            image_format=file.image_format,
            probability=measured.score.probability,
            predicted_method=measured.score.predicted,
            verdict=measured.verdict,
            not_measured=None,
            detail="",
            seconds=measured.total,
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
    )

"""Results that could not be stored, kept until the disk is available again: predictions in a temporary folder."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from starlight_exporter.checks.results import CheckResult
from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.drift import DriftSample
from starlight_exporter.evaluation.embedding_results import Projection
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.results import Evaluation, RunResult
from starlight_exporter.publish.snapshot import STORES, Store
from starlight_exporter.runs.scratch import scratch_folder

MAX_RESULTS: Final = 100
MAX_BYTES: Final = 1024**3
"""Limit of the files of predictions and of the memory in total."""


@dataclass(slots=True)
class PendingResult:
    """A result, and the stores that do not have it yet."""

    evaluation: Evaluation
    predictions: PredictionTable
    checks: Sequence[CheckResult]
    thumbnails: Mapping[str, bytes]
    drift_sample: DriftSample | None = None
    projection: Projection | None = None
    missing: set[Store] = field(default_factory=lambda: set(STORES))
    kept: bool = False

    @property
    def file_bytes(self) -> int:
        """Size of the file of predictions."""
        try:
            return self.predictions.path.stat().st_size
        except OSError:
            return 0

    @property
    def size(self) -> int:
        """Bytes in memory and of the predictions on disk."""
        sample = 0 if self.drift_sample is None else self.drift_sample.values.nbytes
        sample += 0 if self.projection is None else self.projection.images.nbytes
        return self.file_bytes + sum(map(len, self.thumbnails.values())) + sample


WriteResult = Callable[[Store, PendingResult], None]
"""Writes a result to a store. Raises StorageError."""


class PendingResults:
    """Results in the order in which they were measured; each store receives them in this order. Not thread-safe."""

    def __init__(self) -> None:
        self._results: deque[PendingResult] = deque()
        self._folder: Path | None = None
        self._stack = ExitStack()

    def __len__(self) -> int:
        return len(self._results)

    def add(self, result: RunResult, checks: Sequence[CheckResult], thumbnails: Path | None) -> None:
        """Add a result. `thumbnails` is a folder that is deleted soon."""
        images = {} if thumbnails is None else _read_all(thumbnails)
        self._results.append(
            PendingResult(
                result.evaluation,
                PredictionTable.of(result.predictions),
                checks,
                images,
                result.drift_sample,
                result.projection,
            )
        )

    def keep(self) -> None:
        """Keep the predictions of the waiting results beyond the end of their run, which deletes its folder.

        Results whose predictions cannot be kept, because the temporary folder is full, lose their evidence.
        """
        for pending in self._results:
            if "evidence" in pending.missing and not pending.kept:
                try:
                    if self._folder is None:
                        self._folder = self._stack.enter_context(scratch_folder())
                    path = self._folder / f"{pending.evaluation.id}.sqlite"
                    pending.predictions.save(path)
                    pending.predictions, pending.kept = PredictionTable(path).delete_with_object(), True
                except OSError:
                    pending.missing.discard("evidence")

    def close(self) -> None:
        """Delete the kept predictions."""
        self._stack.close()
        self._folder = None

    def predictions(self, evaluation_id: str) -> PredictionTable | None:
        """Return the predictions of a result that is not stored yet; None if there is no such result."""
        found = (pending.predictions for pending in self._results if pending.evaluation.id == evaluation_id)
        return next(found, None)

    def replace_checks(self, evaluation_id: str, checks: Sequence[CheckResult]) -> None:
        """Replace the checks of a result that is not stored yet."""
        for pending in self._results:
            if pending.evaluation.id == evaluation_id:
                pending.checks = checks

    def write(self, write: WriteResult) -> dict[Store, StorageError]:
        """Write all results to the stores that miss them; return the first failure of each store.

        A result that can never be stored, such as one with a number that is not finite, does not have to wait.
        """
        failures: dict[Store, StorageError] = {}
        for pending in self._results:
            for store in STORES:
                if store in pending.missing and store not in failures:
                    try:
                        write(store, pending)
                    except StorageError as error:
                        failures[store] = error
                        if is_outage(error):
                            continue
                    pending.missing.discard(store)
        self._results = deque(pending for pending in self._results if pending.missing)
        return failures

    def drop_oldest(self) -> list[Evaluation]:
        """Drop the oldest results while there are too many or they are too large; return them."""
        dropped = []
        while len(self._results) > MAX_RESULTS or (
            len(self._results) > 1 and sum(pending.size for pending in self._results) > MAX_BYTES
        ):
            dropped.append(self._results.popleft().evaluation)
        return dropped


def is_outage(error: StorageError) -> bool:
    """Return whether the same write may succeed later."""
    return isinstance(error.__cause__, OSError | sqlite3.Error)


def _read_all(folder: Path) -> dict[str, bytes]:
    images = {}
    # Thumbnails are optional.
    with suppress(OSError):
        for path in folder.iterdir():
            images[path.name] = path.read_bytes()
    return images

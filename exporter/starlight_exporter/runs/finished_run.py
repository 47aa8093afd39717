"""A run that has ended: what lists show of it, and its output."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from starlight_exporter.dataset.dataset import FileFault
from starlight_exporter.errors import EngineFailureReason, ModelFailureReason
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.results import RunResult
from starlight_exporter.publish.snapshot import Outcome, Pair, QuarantineReason


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """One run of a model on a dataset. `error` is one line, empty on success. Times are UTC seconds.

    `id` is that of the evaluation, empty without a result.
    """

    id: str
    model: str
    dataset: str
    trigger: str
    outcome: Outcome
    started_at: float
    ended_at: float
    error: str

    @property
    def pair(self) -> Pair:
        """Model and dataset."""
        return self.model, self.dataset


@dataclass(frozen=True, slots=True)
class RunOutput:
    """Request and output of a run: a result, or the reason why the model could not be used, or neither.

    `exceeded` is the limit that the model exceeded; then `load_failure` is `limits`. `faults` are the excluded files.
    `thumbnails` is a folder that is deleted once the run has been processed. `engine_failure` is why the engine could
    not run it.
    """

    request: RunRequest
    result: RunResult | None = None
    load_failure: ModelFailureReason | None = None
    exceeded: QuarantineReason | None = None
    faults: tuple[FileFault, ...] = ()
    thumbnails: Path | None = None
    engine_failure: EngineFailureReason | None = None

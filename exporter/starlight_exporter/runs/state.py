"""The current Snapshot and the recent runs: replaced whole, never changed, so that a reader needs no lock."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from starlight_exporter.publish.snapshot import Outcome, Snapshot

GOOD_RUNS_KEPT = 50
FAILED_RUNS_KEPT = 150
"""Failed runs stay visible for longer: they are what people look for."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run as lists show it; `id` names its evidence (empty without a result), `error` is one line. UTC seconds."""

    id: str
    model: str
    dataset: str
    trigger: str
    outcome: Outcome
    started_at: float
    ended_at: float
    error: str


class State:
    """Holds the snapshot; changes are functions from the old one to the new one, applied one at a time."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._change = threading.Lock()
        self._good: deque[RunRecord] = deque(maxlen=GOOD_RUNS_KEPT)
        self._failed: deque[RunRecord] = deque(maxlen=FAILED_RUNS_KEPT)

    @property
    def snapshot(self) -> Snapshot:
        """The current snapshot."""
        return self._snapshot

    def update(self, change: Callable[[Snapshot], Snapshot]) -> None:
        """Replace the snapshot by what `change` makes of it."""
        with self._change:
            self._snapshot = change(self._snapshot)

    def record(self, run: RunRecord) -> None:
        """Remember a run that has ended."""
        with self._change:
            (self._good if run.outcome == "success" else self._failed).append(run)

    def runs(self) -> list[RunRecord]:
        """The remembered runs, newest first."""
        with self._change:
            return sorted([*self._good, *self._failed], key=lambda run: run.ended_at, reverse=True)

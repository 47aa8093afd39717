"""Current snapshot and recent runs. The snapshot is immutable and replaced atomically, so that readers need no lock."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from operator import itemgetter
from typing import Final

from starlight_exporter.publish.snapshot import Snapshot
from starlight_exporter.runs.finished_run import FinishedRun

SUCCESSFUL_RUNS_KEPT: Final = 50
FAILED_RUNS_KEPT: Final = 150
"""Failed runs are kept longer, because they are the ones that people look for."""


class State:
    """Holds the snapshot. Changes are functions from the old snapshot to the new one, applied one at a time."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._change = threading.Lock()
        # With their number, because the times of runs are not in order after a step of the system clock.
        self._successful: deque[tuple[int, FinishedRun]] = deque(maxlen=SUCCESSFUL_RUNS_KEPT)
        self._failed: deque[tuple[int, FinishedRun]] = deque(maxlen=FAILED_RUNS_KEPT)
        self._recorded = 0

    @property
    def snapshot(self) -> Snapshot:
        """The current snapshot."""
        return self._snapshot

    def update(self, change: Callable[[Snapshot], Snapshot]) -> None:
        """Replace the snapshot by the result of `change`."""
        with self._change:
            self._snapshot = change(self._snapshot)

    def record(self, run: FinishedRun) -> None:
        """Add a run to the recent runs."""
        with self._change:
            self._recorded += 1
            (self._successful if run.outcome == "success" else self._failed).append((self._recorded, run))

    def runs(self) -> list[FinishedRun]:
        """Return the recent runs, newest first."""
        with self._change:
            numbered = sorted([*self._successful, *self._failed], key=itemgetter(0), reverse=True)
        return [run for _, run in numbered]

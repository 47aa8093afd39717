"""Reactions to changed datasets: scan the files again, and evaluate only if labels or contents differ."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from starlight_exporter.dataset.dataset import ScannedDataset
from starlight_exporter.publish.snapshot import Snapshot
from starlight_exporter.runs.configuration import ActiveConfiguration, run_request
from starlight_exporter.runs.runner import Runner
from starlight_exporter.runs.state import State

_log = structlog.get_logger(__name__)

SCAN_SECONDS: Final = 3600.0
UNLABELLED_SECONDS: Final = 60.0
"""Shortest time between two scans of an unlabelled dataset, to which images may be added all the time."""
UNLABELLED_PAUSE: Final = 4.0
"""The same as a multiple of the time that its evaluations take: they use at most a fifth of the time."""


class DatasetChanges:
    """Scans datasets in worker processes, one at a time, next to a running evaluation.

    The thread for it starts with the first change, and ends with the process. Changes of an unlabelled dataset within
    UNLABELLED_SECONDS of its last scan wait, and are then scanned together.
    """

    def __init__(
        self,
        config: ActiveConfiguration,
        state: State,
        runner: Runner,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._state = state
        self._runner = runner
        self._clock = clock
        self._due: dict[str, float] = {}
        self._not_before: dict[str, float] = {}
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None

    def changed(self, name: str) -> None:
        """Scan a dataset, because a file of it has changed, and queue the evaluations that are necessary then."""
        with self._wake:
            self._due.setdefault(name, max(self._clock(), self._not_before.get(name, 0.0)))
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="dataset scans", daemon=True)
                self._thread.start()
            self._wake.notify()

    def fingerprint(self, name: str) -> str | None:
        """Scan a dataset now; None if that fails, as the evaluation that follows will report."""
        scan = self._scan(name)
        return None if scan is None else scan.fingerprint

    def _scan(self, name: str) -> ScannedDataset | None:
        pair = next((one for one in self._state.snapshot.runs if one[1] == name), None)
        request = None if pair is None else run_request(self._config.current, pair, "dataset")
        if request is None:
            return None
        scan = self._runner.fingerprint(request, timeout=SCAN_SECONDS)
        if scan.outcome not in ("success", "cancelled"):
            _log.warning("dataset not scanned", dataset=name, outcome=scan.outcome, reason=scan.reason)
        found = scan.result if isinstance(scan.result, ScannedDataset) else None
        if found is not None:
            _log.debug("dataset scanned", dataset=name, fingerprint=found.fingerprint[:12])
        self._state.update(_with_fingerprint(name, None if found is None else found.fingerprint))
        return found

    def _loop(self) -> None:
        while True:
            name = self._next()
            try:
                self._evaluate(name, self._known_fingerprint(name), self._scan(name))
                self._pause(name)
            except Exception:  # noqa: BLE001  # thread boundary: an unexpected error must not stop later scans
                _log.exception("unexpected error in the scan of a dataset", dataset=name)

    def _next(self) -> str:
        with self._wake:
            while True:
                name = min(self._due, key=self._due.__getitem__, default=None)
                seconds = None if name is None else self._due[name] - self._clock()
                if name is not None and seconds is not None and seconds <= 0:
                    del self._due[name]
                    return name
                self._wake.wait(seconds)

    def _pause(self, name: str) -> None:
        """Set the earliest time of the next scan of an unlabelled dataset."""
        snapshot = self._state.snapshot
        if self._is_labelled(name):
            return
        results = [run.evaluation for (_, dataset), run in snapshot.runs.items() if dataset == name]
        seconds = sum(result.duration_seconds for result in results if result is not None)
        with self._wake:
            self._not_before[name] = self._clock() + max(UNLABELLED_SECONDS, UNLABELLED_PAUSE * seconds)

    def _is_labelled(self, name: str) -> bool:
        dataset = self._state.snapshot.datasets.get(name)
        return dataset is None or dataset.labelled

    def _known_fingerprint(self, name: str) -> str | None:
        """Return the fingerprint of the last scan; None if it is unknown."""
        dataset = self._state.snapshot.datasets.get(name)
        return None if dataset is None else dataset.fingerprint

    def _evaluate(self, name: str, before: str | None, scan: ScannedDataset | None) -> None:
        """Queue the pairs whose result is of other images, and cancel the running evaluation if its images are.

        `before` is the fingerprint before the change. The fingerprint of a running evaluation is known at its end, but
        it does not have to be repeated if its listing is that of the scan, or if the change has no effect on contents.
        """
        fingerprint = None if scan is None else scan.fingerprint
        queued = False
        for pair, run in self._state.snapshot.runs.items():
            if pair[1] != name:
                continue
            listed = self._runner.listed(pair)
            if listed is not None and scan is not None and (listed == scan.listing or before == fingerprint):
                # The running evaluation reads the files as they are now.
                continue
            shown = None if run.evaluation is None else run.evaluation.provenance.dataset_fingerprint
            if listed is not None and fingerprint is not None and self._is_labelled(name):
                # A result on an earlier window of unlabelled images is valid, and is completed.
                self._runner.cancel_outdated(lambda current, pair=pair: current == pair)  # type: ignore[misc]
            elif (
                listed is None
                and fingerprint is not None
                and shown == fingerprint
                and run.last_run_successful is not False
            ):
                # After a failed run, one more shows that the images of the last result can be read again.
                continue
            queued = True
            self._runner.submit(pair, "dataset")
        if queued:
            _log.info("dataset changed", dataset=name, fingerprint="" if fingerprint is None else fingerprint[:12])


def _with_fingerprint(name: str, fingerprint: str | None) -> Callable[[Snapshot], Snapshot]:
    def change(old: Snapshot) -> Snapshot:
        dataset = old.datasets.get(name)
        return old if dataset is None else old.with_dataset(replace(dataset, fingerprint=fingerprint))

    return change

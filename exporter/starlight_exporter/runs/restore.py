"""Restore results after a restart: those whose spec still applies. All other pairs are evaluated."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import structlog

from starlight_exporter.dataset.generator import generator_version
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.evaluation.spec import current_spec, differences
from starlight_exporter.publish.snapshot import Pair
from starlight_exporter.runs.analyses import Analyses
from starlight_exporter.runs.configuration import ActiveConfiguration, is_scheduled
from starlight_exporter.runs.pipeline import Pipeline
from starlight_exporter.runs.runner import Runner
from starlight_exporter.runs.scheduler import interval_seconds
from starlight_exporter.runs.state import State
from starlight_exporter.runs.storage import Storage

_log = structlog.get_logger(__name__)


class Restorer:
    """Restores stored results in a thread of its own, in the order in which pairs are evaluated."""

    def __init__(
        self,
        *,
        config: ActiveConfiguration,
        state: State,
        storage: Storage,
        pipeline: Pipeline,
        runner: Runner,
        analyses: Analyses,
        fingerprint: Callable[[str], str | None],
    ) -> None:
        """Connect the parts; `fingerprint` scans a dataset and returns None if that fails."""
        self._config = config
        self._state = state
        self._storage = storage
        self._pipeline = pipeline
        self._runner = runner
        self._analyses = analyses
        self._scan = fingerprint
        self._fingerprints: dict[str, str | None] = {}
        self._thread = threading.Thread(target=self._restore, name="restore", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def join(self, seconds: float = 10.0) -> None:
        """Wait for the end of the thread, which is near once the runner has stopped."""
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _restore(self) -> None:
        interval = interval_seconds(self._config.current.schedule)
        stored = self._storage.latest(self._state.snapshot.runs)
        for pair in self._runner.in_order(self._state.snapshot.runs):
            evaluation = stored.get(pair)
            if evaluation is not None and self._applies(evaluation, pair):
                self._pipeline.restore(evaluation)
                age = time.time() - evaluation.finished_at
                # The age of a result from the future is unknown: the clock was set back.
                if age >= 0 and (age < interval or not is_scheduled(self._config.current, pair)):
                    continue
            self._runner.submit(pair, "start")
        for dataset in {pair[1] for pair in stored}:
            self._pipeline.assess_restored(dataset)
        for pair in stored:
            self._analyses.after_evaluation(pair)

    def _applies(self, evaluation: Evaluation, pair: Pair) -> bool:
        """Return whether spec and drift reference of a stored result are those that an evaluation would have now.

        Another window, or another kind of dataset, has other images: they are part of the fingerprint.
        """
        model, dataset = self._config.current.model(pair[0]), self._config.current.dataset(pair[1])
        state = self._state.snapshot.models.get(pair[0])
        if model is None or dataset is None or state is None or state.file_sha256 is None:
            return False
        unlabelled = evaluation.unlabelled
        if dataset.drift_reference != (None if unlabelled is None else unlabelled.drift.reference):
            return False
        stated = evaluation.provenance.dataset_fingerprint
        current = current_spec(
            model_sha256=state.file_sha256,
            dataset_fingerprint=stated,
            decision=model.decision.rule().describe(),
            providers=model.execution_providers(),
            dataset_generator=generator_version(dataset.path),
        )
        # Which rule was applied depends on the model file; what is configured is the requested rule.
        stored = replace(evaluation.provenance, decision=evaluation.requested_decision)
        # The images are read last, because a million of them take minutes.
        return not differences(stored, current) and self._fingerprint(dataset.name) == stated

    def _fingerprint(self, name: str) -> str | None:
        """Scan a dataset once; None if that fails, as the evaluation that follows will report."""
        if name not in self._fingerprints:
            self._fingerprints[name] = self._scan(name)
        return self._fingerprints[name]

"""Which stored results may be shown after a restart: those whose whole provenance still holds."""

from __future__ import annotations

from pathlib import Path

import structlog

from starlight_exporter.config import Config
from starlight_exporter.errors import StarlightError
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.evaluation.spec import current_spec, differences
from starlight_exporter.publish.snapshot import Pair, Snapshot
from starlight_exporter.runs import worker
from starlight_exporter.runs.runner import Runner

_log = structlog.get_logger(__name__)

SCAN_SECONDS = 600.0


class Provenances:
    """Holds stored results against the files as they are now; each dataset is scanned once, in a worker process."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._fingerprints: dict[str, str | None] = {}

    def hold(self, evaluation: Evaluation, pair: Pair, config: Config, snapshot: Snapshot) -> bool:
        """Whether the result has the model file, images, decision rule and software that are in use now."""
        model, dataset = config.model(pair[0]), config.dataset(pair[1])
        state = snapshot.models.get(pair[0])
        if model is None or dataset is None or state is None or state.file_sha256 is None:
            return False
        if dataset.name not in self._fingerprints:
            self._fingerprints[dataset.name] = self._fingerprint(dataset.name, dataset.path)
        fingerprint = self._fingerprints[dataset.name]
        if fingerprint is None:
            return False
        now = current_spec(
            model_sha256=state.file_sha256,
            dataset_fingerprint=fingerprint,
            decision=model.decision.rule().describe(),
        )
        return not differences(evaluation.provenance, now)

    def _fingerprint(self, name: str, root: Path) -> str | None:
        try:
            return self._runner.call(worker.fingerprint, name, root, timeout=SCAN_SECONDS)
        except (StarlightError, OSError, RuntimeError) as error:
            # The run that follows tells the same, with its outcome counted.
            _log.warning("dataset not scanned", dataset=name, reason=str(error))
            return None

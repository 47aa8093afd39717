"""Verdicts of the baseline model on a sample, for a paired test. Light to import: a run request contains them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlight_exporter.evaluation.spec import EvaluationSpec

if TYPE_CHECKING:
    from starlight_exporter.evaluation.results import Prediction


@dataclass(frozen=True, slots=True)
class BaselineVerdicts:
    """Verdicts of the baseline model on a sample: content hash and verdict by path (None: not measured)."""

    spec: EvaluationSpec
    verdicts: dict[str, tuple[str, bool | None]]

    def covers(self, files: Iterable[Prediction]) -> bool:
        """Return whether every file has a verdict with its present content."""
        return all(file.path in self.verdicts and self.verdicts[file.path][0] == file.sha256 for file in files)

    def of(self, prediction: Prediction) -> bool | None:
        """Return the verdict on the file of a prediction; None if there is none."""
        sha256, verdict = self.verdicts.get(prediction.path, ("", None))
        return verdict if sha256 == prediction.sha256 else None

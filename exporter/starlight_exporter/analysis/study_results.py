"""Results of a study, importable without ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass

from starlight_exporter.analysis.model_pairs import PairTest
from starlight_exporter.evaluation.results import RunResult


@dataclass(frozen=True, slots=True)
class Study:
    """Results of every model on every dataset, and the tests of all pairs of models.

    `results` has one element per dataset with the results of all models, in the order of the request. `pairs` is empty
    for one model.
    """

    results: tuple[tuple[RunResult, ...], ...]
    pairs: tuple[PairTest, ...]
    seed: int

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(result.evaluation.model for result in self.results[0])

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names of the datasets."""
        return tuple(results[0].evaluation.dataset for results in self.results)

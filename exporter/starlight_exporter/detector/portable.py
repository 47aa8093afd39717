"""A scorer that can be sent to other processes, which build the same one from the same bytes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from starlight_exporter.detector.batched import BatchedModel, full_model
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.detector.graph_cut import GraphCut
from starlight_exporter.detector.model import Detector
from starlight_exporter.detector.providers import Providers
from starlight_exporter.detector.staged import Scorer, StagedModel
from starlight_exporter.file_access import FileContent


@dataclass(frozen=True, slots=True)
class _Recipe:
    """What a scorer is built from: the model, how it is cut (None for the full model), and its batch size."""

    path: Path
    model: FileContent
    decision: DecisionRule
    providers: Providers
    graph: GraphCut | None
    batch: int

    def build(self) -> Scorer:
        detector = Detector.from_content(self.path, self.model, providers=self.providers)
        if self.graph is None:
            return full_model(detector, self.decision, self.batch)
        return StagedModel(detector, self.graph, self.decision, batch=self.batch)


class PortableScorer:
    """A scorer of this process; a pickled copy has the model and builds the scorer in the process that needs it.

    Whether the model is run in stages is decided once, where it is created. Pickling raises ModelError `changed` if the
    model file has been replaced meanwhile.
    """

    def __init__(self, detector: Detector, scorer: Scorer, decision: DecisionRule) -> None:
        self._detector = detector
        self._scorer: Scorer | None = scorer
        self._decision = decision
        self._recipe: _Recipe | None = None

    def scorer(self) -> Scorer:
        """Return the scorer. Raise ModelError if the model cannot be loaded in this process."""
        if self._scorer is None:
            assert self._recipe is not None
            self._scorer = self._recipe.build()
        return self._scorer

    def __getstate__(self) -> _Recipe:
        """Return what the scorer is built from."""
        if self._recipe is not None:
            return self._recipe
        scorer = self._scorer
        return _Recipe(
            path=self._detector.path,
            model=FileContent(self._detector.read_file(), self._detector.sha256, self._detector.modified_at),
            decision=self._decision,
            providers=self._detector.providers,
            graph=scorer.graph if isinstance(scorer, StagedModel) else None,
            batch=scorer.batch if isinstance(scorer, StagedModel | BatchedModel) else 1,
        )

    def __setstate__(self, recipe: _Recipe) -> None:
        """Keep the recipe until the scorer is needed."""
        self._scorer = None
        self._recipe = recipe

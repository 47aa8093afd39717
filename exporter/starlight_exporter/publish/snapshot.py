"""Everything that one scrape shows, as one immutable value: the service builds it and swaps it in one assignment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from starlight_exporter.analysis.comparison import Comparison
from starlight_exporter.analysis.stream_effects import AblationStudy
from starlight_exporter.checks.baseline import Baseline
from starlight_exporter.checks.checks import CheckResult
from starlight_exporter.errors import ModelFailureReason
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.models.roles import Role
from starlight_exporter.publish.histogram import LatencyHistogram

Outcome = Literal["success", "error", "crashed", "timeout", "cancelled"]
Analysis = Literal["ablation", "comparison", "variants", "regression"]
ANALYSES: tuple[Analysis, ...] = ("ablation", "comparison", "variants", "regression")
OUTCOMES: tuple[Outcome, ...] = ("success", "error", "crashed", "timeout", "cancelled")

Store = Literal["history", "evidence"]
STORES: tuple[Store, ...] = ("history", "evidence")

Pair = tuple[str, str]
"""Model name and dataset name."""


@dataclass(frozen=True, slots=True)
class BuildInfo:
    """Versions of the exporter and of what it runs on."""

    version: str
    revision: str
    python: str
    onnxruntime: str


@dataclass(frozen=True, slots=True)
class ConfigReload:
    """How the last attempt to read the configuration went, and when one last went well (UTC seconds)."""

    successful: bool
    success_at: float


@dataclass(frozen=True, slots=True)
class ModelState:
    """One configured model; the facts of its file are None until a file was loaded. Times are UTC seconds.

    `sha256` is of the file in use, `file_sha256` of the one on disk as last seen (None where it cannot be read);
    `last_load_successful` is None before the first attempt; where it is False, `last_failure` says why. A reason
    without an entry in `load_failures` counts as zero.
    """

    name: str
    role: Role
    file: str
    decision: str
    sha256: str | None = None
    size_bytes: int | None = None
    modified_at: float | None = None
    loaded_at: float | None = None
    file_sha256: str | None = None
    last_load_successful: bool | None = None
    last_failure: ModelFailureReason | None = None
    load_failures: Mapping[ModelFailureReason, int] = field(default_factory=dict)
    baseline: Baseline | None = None
    latency: LatencyHistogram = field(default_factory=LatencyHistogram.empty)


@dataclass(frozen=True, slots=True)
class DatasetState:
    """One configured dataset; `changed_at` (UTC seconds) is when its content was last seen to change."""

    name: str
    changed_at: float | None = None


@dataclass(frozen=True, slots=True)
class AnalysisState:
    """How the exporter's runs of one analysis went; `succeeded_at` (UTC seconds) is None before the first result."""

    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    last_run_successful: bool | None = None
    succeeded_at: float | None = None

    def after(self, outcome: Outcome, at: float) -> AnalysisState:
        """With one more run; a cancelled one says nothing about the analysis."""
        good = outcome == "success"
        return AnalysisState(
            outcomes={**self.outcomes, outcome: self.outcomes.get(outcome, 0) + 1},
            last_run_successful=self.last_run_successful if outcome == "cancelled" else good,
            succeeded_at=at if good else self.succeeded_at,
        )


@dataclass(frozen=True, slots=True)
class RunState:
    """One configured model on one configured dataset: what was run, what runs, and the last complete result.

    An outcome without an entry counts as zero; `last_run_successful` tells of the last run that was neither cancelled
    nor without a model that loads, None before there was one; `progress` (0..1) and `remaining_seconds` are None while
    nothing runs; `checks` are those of `evaluation`, and so are `comparisons`, with other models' evaluations of the
    same images. `ablation` is of the same model file, images and rule.
    """

    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    last_run_successful: bool | None = None
    in_progress: bool = False
    progress: float | None = None
    remaining_seconds: float | None = None
    interval_seconds: float | None = None
    evaluation: Evaluation | None = None
    checks: tuple[CheckResult, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    ablation: AblationStudy | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a scrape shows. What is not in here has no series: a model that leaves the configuration vanishes.

    `models` and `datasets` are by name, `runs` by (model, dataset), which both have to be known (ValueError).
    The mappings are copied, so that nobody can change a snapshot that a scrape is reading.
    """

    build: BuildInfo
    config: ConfigReload
    models: Mapping[str, ModelState] = field(default_factory=dict)
    datasets: Mapping[str, DatasetState] = field(default_factory=dict)
    runs: Mapping[Pair, RunState] = field(default_factory=dict)
    storage_failures: Mapping[Store, int] = field(default_factory=dict)
    storage_free_bytes: Mapping[Store, int] = field(default_factory=dict)
    storage_size_bytes: Mapping[Store, int] = field(default_factory=dict)
    queued: int = 0
    history_damaged_lines: int | None = None
    analyses: Mapping[Analysis, AnalysisState] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for model, dataset in self.runs:
            if model not in self.models or dataset not in self.datasets:
                raise ValueError(f"run of {model} on {dataset}: not in the snapshot's models and datasets")
        for name in (
            "models",
            "datasets",
            "runs",
            "storage_failures",
            "storage_free_bytes",
            "storage_size_bytes",
            "analyses",
        ):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def with_model(self, state: ModelState) -> Snapshot:
        """This snapshot with one model added or replaced."""
        return replace(self, models={**self.models, state.name: state})

    def with_dataset(self, state: DatasetState) -> Snapshot:
        """This snapshot with one dataset added or replaced."""
        return replace(self, datasets={**self.datasets, state.name: state})

    def with_run(self, model: str, dataset: str, state: RunState) -> Snapshot:
        """This snapshot with the state of one model on one dataset added or replaced."""
        return replace(self, runs={**self.runs, (model, dataset): state})

    def with_storage_failure(self, store: Store) -> Snapshot:
        """This snapshot with one more failure to write to `store`."""
        return replace(self, storage_failures={**self.storage_failures, store: self.storage_failures.get(store, 0) + 1})

    def with_analysis(self, analysis: Analysis, outcome: Outcome, at: float) -> Snapshot:
        """This snapshot with one more run of an analysis that ended at `at` (UTC seconds)."""
        state = self.analyses.get(analysis, AnalysisState()).after(outcome, at)
        return replace(self, analyses={**self.analyses, analysis: state})

    def evaluations(self) -> tuple[Evaluation, ...]:
        """The last complete evaluation of every configured model and dataset that has one."""
        return tuple(run.evaluation for run in self.runs.values() if run.evaluation is not None)


def newest_by(evaluations: Iterable[Evaluation], key: Callable[[Evaluation], str]) -> list[Evaluation]:
    """Return the newest evaluation for each value of `key`: a model or a dataset has one value per family."""
    newest: dict[str, Evaluation] = {}
    for evaluation in evaluations:
        known = newest.get(key(evaluation))
        if known is None or evaluation.finished_at > known.finished_at:
            newest[key(evaluation)] = evaluation
    return list(newest.values())


def snapshot_of(evaluation: Evaluation, checks: tuple[CheckResult, ...]) -> Snapshot:
    """What an exporter would show that had made this one evaluation and nothing else."""
    provenance, facts = evaluation.provenance, evaluation.model_facts
    model = ModelState(
        name=evaluation.model,
        role=evaluation.role,
        file=facts.file,
        decision=provenance.decision,
        sha256=provenance.model_sha256,
        size_bytes=facts.size_bytes,
        modified_at=facts.modified_at,
        loaded_at=facts.loaded_at,
        file_sha256=provenance.model_sha256,
    )
    empty = Snapshot(
        build=BuildInfo(provenance.exporter_version, "", "", provenance.onnxruntime_version),
        config=ConfigReload(successful=True, success_at=evaluation.started_at),
    )
    with_names = empty.with_model(model).with_dataset(DatasetState(evaluation.dataset))
    return with_names.with_run(evaluation.model, evaluation.dataset, RunState(evaluation=evaluation, checks=checks))

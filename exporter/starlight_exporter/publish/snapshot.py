"""The state that a scrape exposes, as one immutable value that the service replaces in one assignment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, Literal, get_args

from starlight_exporter.analysis.comparison import Comparison
from starlight_exporter.analysis.stream_effects import AblationStudy
from starlight_exporter.checks.baseline import Baseline
from starlight_exporter.checks.comparison_basis import CheckBasis
from starlight_exporter.checks.limits import DEFAULT_LIMITS, CheckLimits
from starlight_exporter.checks.provisional import CheckedSample
from starlight_exporter.checks.results import CheckResult
from starlight_exporter.dataset.dataset import FileFault
from starlight_exporter.errors import EngineFailureReason, ModelFailureReason
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.evaluation.spec import EXECUTION_PROVIDER
from starlight_exporter.models.roles import Role
from starlight_exporter.publish.histogram import LatencyHistogram

Outcome = Literal["success", "error", "crashed", "timeout", "cancelled"]
Analysis = Literal["ablation", "comparison", "variants", "regression"]
ANALYSES: Final[tuple[Analysis, ...]] = get_args(Analysis)
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)

Store = Literal["history", "evidence"]
STORES: Final[tuple[Store, ...]] = get_args(Store)

QuarantineReason = Literal["time", "memory", "crashed"]

Pair = tuple[str, str]
"""Model name and dataset name."""


@dataclass(frozen=True, slots=True)
class BuildInfo:
    """Versions of the exporter, Python and ONNX Runtime; URLs of the exporter and of Grafana for users (or empty)."""

    version: str
    revision: str
    python: str
    onnxruntime: str
    external_url: str = ""
    grafana_url: str = ""


@dataclass(frozen=True, slots=True)
class ConfigReload:
    """Result of the last configuration reload, and time of the last successful one (UTC seconds)."""

    successful: bool
    success_at: float


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Which limit a model exceeded, the message, when (UTC seconds), and the hash of its file if it is known."""

    reason: QuarantineReason
    detail: str
    since: float
    sha256: str | None


@dataclass(frozen=True, slots=True)
class ModelState:
    """One configured model; the properties of its file are None until a file is loaded. Times are UTC seconds.

    `sha256` is the hash of the loaded file, `file_sha256` that of the file on disk at the last poll (None if it cannot
    be read). `last_load_successful` is None before the first attempt; if it is False, `last_failure` is the reason and
    `last_failure_detail` the message of the error. A reason without an entry in `load_failures` counts as 0.
    `quarantine` is set while the file that exceeded its limits is in place.
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
    last_failure_detail: str = ""
    load_failures: Mapping[ModelFailureReason, int] = field(default_factory=dict)
    quarantine: Quarantine | None = None
    latency: LatencyHistogram = field(default_factory=LatencyHistogram.empty)
    execution_provider: str = EXECUTION_PROVIDER


@dataclass(frozen=True, slots=True)
class DatasetState:
    """One configured dataset; `changed_at` (UTC seconds) is the time of the last detected change of its content.

    `fingerprint` is that of the last scan at start or after a file changed; None without such a scan, or if it failed.
    Only results on a dataset with `alerts` raise alerts. A dataset that is not `labelled` has no change of content:
    images arrive all the time.
    """

    name: str
    changed_at: float | None = None
    alerts: bool = True
    fingerprint: str | None = None
    labelled: bool = True

    @property
    def comes_first(self) -> bool:
        """Whether results decide about an alert of a model: the dataset has labels and alerts."""
        return self.labelled and self.alerts


@dataclass(frozen=True, slots=True)
class AnalysisState:
    """Runs of one analysis; `succeeded_at` (UTC seconds) is None before the first successful run."""

    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    last_run_successful: bool | None = None
    succeeded_at: float | None = None

    def after(self, outcome: Outcome, at: float) -> AnalysisState:
        """Return the state after one more run; a cancelled run does not change `last_run_successful`."""
        good = outcome == "success"
        return AnalysisState(
            outcomes={**self.outcomes, outcome: self.outcomes.get(outcome, 0) + 1},
            last_run_successful=self.last_run_successful if outcome == "cancelled" else good,
            succeeded_at=at if good else self.succeeded_at,
        )


@dataclass(frozen=True, slots=True)
class RunState:
    """Runs and last complete result of one configured model on one configured dataset.

    An outcome without an entry counts as 0. `last_run_successful` ignores cancelled runs and runs without a loadable
    model, and is None before the first other run. `progress` (0 to 1) and `remaining_seconds` are None while no run is
    in progress. `checks`, their `basis` and `comparisons` belong to `evaluation`; `basis` is None while only stored
    checks are known. `ablation` has the same model file, images and rule. `evaluated_monotonic` is the end of
    `evaluation` on the monotonic clock of this process, and `faults` are the files that the run excluded. `provisional`
    is a sample of a newer evaluation than `evaluation`, until that is complete; `provisional_failure` is why there is
    none although the dataset is large, empty otherwise.
    """

    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    last_run_successful: bool | None = None
    in_progress: bool = False
    progress: float | None = None
    remaining_seconds: float | None = None
    interval_seconds: float | None = None
    evaluation: Evaluation | None = None
    checks: tuple[CheckResult, ...] = ()
    basis: CheckBasis | None = None
    comparisons: tuple[Comparison, ...] = ()
    ablation: AblationStudy | None = None
    evaluated_monotonic: float | None = None
    faults: tuple[FileFault, ...] = ()
    provisional: CheckedSample | None = None
    provisional_failure: str = ""


@dataclass(frozen=True, slots=True)
class EngineState:
    """The cluster that runs evaluations, such as `dask+tcp://scheduler:8786`.

    `failure` is why the last run that used it failed, with its message; None if it did not fail because of the engine.
    """

    name: str
    failure: EngineFailureReason | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a scrape exposes. The series of a model end when it is removed from the snapshot.

    `limits` are those of the checks; `recorded_baseline` is used where no baseline model has a result. `monotonic_now`
    is the time of the scrape.
    `models` and `datasets` are by name, `runs` by (model, dataset); raises ValueError if one of them is unknown. The
    mappings are copied and read-only, so that a scrape can read a snapshot without a lock.
    """

    build: BuildInfo
    config: ConfigReload
    web_config: ConfigReload | None = None
    limits: CheckLimits = DEFAULT_LIMITS
    recorded_baseline: Baseline | None = None
    models: Mapping[str, ModelState] = field(default_factory=dict)
    datasets: Mapping[str, DatasetState] = field(default_factory=dict)
    runs: Mapping[Pair, RunState] = field(default_factory=dict)
    storage_failures: Mapping[Store, int] = field(default_factory=dict)
    storage_free_bytes: Mapping[Store, int] = field(default_factory=dict)
    storage_size_bytes: Mapping[Store, int] = field(default_factory=dict)
    queued: int = 0
    monotonic_now: float | None = None
    clock_steps: int = 0
    storage_pending: int = 0
    worker_memory_bytes: int | None = None
    worker_network_isolated: bool | None = None
    worker_memory_group: bool | None = None
    history_damaged_lines: int | None = None
    history_compaction_successful: bool | None = None
    storage_removed: Mapping[Store, int] = field(default_factory=dict)
    engine: EngineState | None = None
    analyses: Mapping[Analysis, AnalysisState] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for model, dataset in self.runs:
            if model not in self.models or dataset not in self.datasets:
                raise ValueError(f"run of {model} on {dataset}: unknown model or dataset")
        for name in (
            "models",
            "datasets",
            "runs",
            "storage_failures",
            "storage_removed",
            "storage_free_bytes",
            "storage_size_bytes",
            "analyses",
        ):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def with_model(self, state: ModelState) -> Snapshot:
        """Return this snapshot with one model added or replaced."""
        return replace(self, models={**self.models, state.name: state})

    def with_dataset(self, state: DatasetState) -> Snapshot:
        """Return this snapshot with one dataset added or replaced."""
        return replace(self, datasets={**self.datasets, state.name: state})

    def with_run(self, model: str, dataset: str, state: RunState) -> Snapshot:
        """Return this snapshot with the state of one model on one dataset added or replaced."""
        return replace(self, runs={**self.runs, (model, dataset): state})

    def with_storage_failure(self, store: Store) -> Snapshot:
        """Return this snapshot with one more failure to write to `store`."""
        return replace(self, storage_failures={**self.storage_failures, store: self.storage_failures.get(store, 0) + 1})

    def with_removed_results(self, store: Store, count: int) -> Snapshot:
        """Return this snapshot with more results that retention removed from `store`."""
        return replace(
            self, storage_removed={**self.storage_removed, store: self.storage_removed.get(store, 0) + count}
        )

    def with_analysis(self, analysis: Analysis, outcome: Outcome, at: float) -> Snapshot:
        """Return this snapshot with one more run of an analysis that ended at `at` (UTC seconds)."""
        state = self.analyses.get(analysis, AnalysisState()).after(outcome, at)
        return replace(self, analyses={**self.analyses, analysis: state})

    def baseline_model(self) -> ModelState | None:
        """Return the model with the role baseline, the first if there are several; None if there is none."""
        return next((model for model in self.models.values() if model.role == "baseline"), None)

    def evaluations(self) -> tuple[Evaluation, ...]:
        """Return the last complete evaluation of every configured model and labelled dataset that has one."""
        return tuple(one for one in self._displayed() if one.unlabelled is None)

    def provisional(self, pair: Pair) -> CheckedSample | None:
        """Return the provisional result of a pair; None without one, or if it is of a replaced model file."""
        checked = self.runs[pair].provisional
        current = self.models[pair[0]].file_sha256
        if checked is None or current not in (None, checked.result.spec.model_sha256):
            return None
        return checked

    def unlabelled_evaluations(self) -> tuple[Evaluation, ...]:
        """Return the last complete evaluation of every configured model and unlabelled dataset that has one."""
        return tuple(one for one in self._displayed() if one.unlabelled is not None)

    def _displayed(self) -> Iterator[Evaluation]:
        return (run.evaluation for run in self.runs.values() if run.evaluation is not None)


def newest_by(evaluations: Iterable[Evaluation], key: Callable[[Evaluation], str]) -> list[Evaluation]:
    """Return the newest evaluation for each value of `key`: a model or a dataset has one value per family."""
    newest: dict[str, Evaluation] = {}
    for evaluation in evaluations:
        known = newest.get(key(evaluation))
        if known is None or evaluation.finished_at > known.finished_at:
            newest[key(evaluation)] = evaluation
    return list(newest.values())


def snapshot_of(evaluation: Evaluation, checks: tuple[CheckResult, ...], basis: CheckBasis | None) -> Snapshot:
    """Return the snapshot of an exporter with this evaluation only."""
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
    run = RunState(evaluation=evaluation, checks=checks, basis=basis)
    return with_names.with_run(evaluation.model, evaluation.dataset, run)

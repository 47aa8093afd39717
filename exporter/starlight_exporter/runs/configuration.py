"""Active configuration: the file as last loaded, and the evaluations that follow from it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from starlight_exporter.checks.baseline import Baseline, read_baseline
from starlight_exporter.config import Config, DatasetConfig, load_config
from starlight_exporter.dataset.sources.root import DatasetRoot
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.detector.providers import Providers
from starlight_exporter.errors import BaselineError, ConfigError
from starlight_exporter.evaluation.request import (
    BaselineModel,
    DriftReference,
    RunRequest,
    UnlabelledImages,
    available_cores,
)
from starlight_exporter.publish.snapshot import ConfigReload, Pair
from starlight_exporter.runs.state import State

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ConfiguredEvaluation:
    """Paths, decision rule and execution providers of a configured pair: results of another one do not apply to it.

    `unlabelled` has the window and the name of the drift reference, None for a labelled dataset.
    """

    model_file: Path
    decision: DecisionRule
    providers: Providers
    dataset_path: DatasetRoot
    unlabelled: UnlabelledImages | None = None


class ActiveConfiguration:
    """The configuration in use. `loaded` is the content of the file, `current` also has the discovered models."""

    def __init__(self, file: Path, state: State) -> None:
        """Load the file. Raises ConfigError."""
        self.file = file
        self.loaded = self.current = load_config(file)
        self._state = state

    @property
    def folder(self) -> Path:
        """The folder of the file; paths are shown relative to it."""
        return self.file.parent.absolute()

    def read(self) -> Config:
        """Return the content of the file now. Raises ConfigError, and reports it as a metric."""
        try:
            return load_config(self.file)
        except ConfigError as error:
            self._state.update(lambda s: replace(s, config=replace(s.config, successful=False)))
            _log.error("configuration not reloaded", reason=str(error))
            raise

    def report_success(self) -> None:
        """Report as a metric that the configuration was loaded and activated."""
        self._state.update(lambda s: replace(s, config=ConfigReload(successful=True, success_at=time.time())))

    def applies_to(self, request: RunRequest) -> bool:
        """Return whether a run has the paths, decision rule and execution providers that are configured now."""
        requested = ConfiguredEvaluation(
            request.model_path,
            request.decision,
            request.providers,
            request.dataset_root,
            _without_result(request.unlabelled),
        )
        return configured_evaluation(self.current, (request.model, request.dataset)) == requested

    def has_baseline_of(self, request: RunRequest) -> bool:
        """Return whether the file and the rule of the baseline model of a run are those that are configured now.

        The execution providers of the baseline model are those of the run: see `applies_to`.
        """
        current = run_request(self.current, (request.model, request.dataset), request.trigger)
        return current is not None and current.baseline == request.baseline

    @staticmethod
    def baseline(config: Config) -> Baseline | None:
        """Read the baseline file; None if there is none or it is invalid, which is logged."""
        if config.baseline is None:
            return None
        try:
            return read_baseline(config.baseline)
        except BaselineError as error:
            _log.warning("baseline not loaded", reason=str(error))
            return None


def configured_evaluation(config: Config, pair: Pair) -> ConfiguredEvaluation | None:
    """Return paths, decision rule and execution providers of a pair; None if it is not configured."""
    model, dataset = config.model(pair[0]), config.dataset(pair[1])
    if model is None or dataset is None:
        return None
    return ConfiguredEvaluation(
        model.file, model.decision.rule(), model.execution_providers(), dataset.path, _unlabelled(dataset)
    )


def is_scheduled(config: Config, pair: Pair) -> bool:
    """Return whether a pair is evaluated at the configured times; all others only after a change.

    Those are the baseline, and labelled images without alerts: the same model has the same results on the same images.
    """
    model, dataset = config.model(pair[0]), config.dataset(pair[1])
    if model is None or dataset is None:
        return False
    return model.role != "baseline" and (dataset.alerts or not dataset.labelled)


def run_request(config: Config, pair: Pair, trigger: str) -> RunRequest | None:
    """Return the request for an evaluation of a pair; None if it is not configured."""
    model, dataset = config.model(pair[0]), config.dataset(pair[1])
    if model is None or dataset is None:
        return None
    return RunRequest(
        model=model.name,
        role=model.role,
        model_path=model.file,
        decision=model.decision.rule(),
        dataset=dataset.name,
        dataset_root=dataset.path,
        trigger=trigger,
        training_log=model.training_log,
        models_dir=None if config.research is None else config.research.models_dir,
        limits=config.limits.of_image(),
        latency_sample=config.latency.sample,
        seed=config.latency.seed,
        threads=config.limits.threads or available_cores(),
        cache=config.cache(),
        baseline=None if model.role == "baseline" else _baseline_model(config),
        unlabelled=_unlabelled(dataset),
        providers=model.execution_providers(),
        engine=config.engine.settings(),
    )


def _unlabelled(dataset: DatasetConfig) -> UnlabelledImages | None:
    """Return window and drift reference, without a result of the reference; None for a labelled dataset."""
    if dataset.labelled:
        return None
    return UnlabelledImages(
        window=None if dataset.window is None else dataset.window.window(),
        drift_reference=None if dataset.drift_reference is None else DriftReference(dataset.drift_reference),
    )


def _without_result(unlabelled: UnlabelledImages | None) -> UnlabelledImages | None:
    if unlabelled is None or unlabelled.drift_reference is None:
        return unlabelled
    return replace(unlabelled, drift_reference=DriftReference(unlabelled.drift_reference.dataset))


def _baseline_model(config: Config) -> BaselineModel | None:
    """Return the first configured model with the role `baseline`, None if there is none."""
    model = next((one for one in config.models if one.role == "baseline"), None)
    return None if model is None else BaselineModel(model.file, model.decision.rule())

"""What a configuration means: for the snapshot, for a pair's numbers, and for a run of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from starlight_exporter.checks.baseline import Baseline
from starlight_exporter.config import Config, DecisionConfig, ModelConfig
from starlight_exporter.evaluation.request import RunLimits, RunRequest, available_cores
from starlight_exporter.publish.snapshot import DatasetState, ModelState, Pair, RunState, Snapshot
from starlight_exporter.runs.results import checked
from starlight_exporter.runs.scheduler import interval_seconds


@dataclass(frozen=True, slots=True)
class ConfiguredEvaluation:
    """Paths and decision rule of a configured pair: results of another one do not apply to it."""

    model_file: Path
    decision: DecisionConfig
    dataset_path: Path


def configured_evaluation(config: Config, pair: Pair) -> ConfiguredEvaluation | None:
    """Return the paths and decision rule of a pair; None if it is not configured."""
    model, dataset = config.model(pair[0]), config.dataset(pair[1])
    return None if model is None or dataset is None else ConfiguredEvaluation(model.file, model.decision, dataset.path)


def with_configuration(
    old: Snapshot, config: Config, previous: Config, baseline: Baseline | None, *, folder: Path
) -> Snapshot:
    """The snapshot of exactly the configured models and datasets, with what is known of them already.

    Files of models below `folder`, the configuration's, are shown relative to it.
    """
    interval = interval_seconds(config.schedule)
    models = {entry.name: _model_state(entry, old, baseline, folder) for entry in config.models}
    runs = {}
    for entry in config.models:
        for dataset in config.datasets:
            pair = (entry.name, dataset.name)
            run = old.runs.get(pair, RunState())
            if configured_evaluation(config, pair) != configured_evaluation(previous, pair):
                # Another rule, file or folder under the same name: the old verdicts are not its.
                run = replace(run, evaluation=None, checks=(), comparisons=(), ablation=None)
            runs[pair] = checked(replace(run, interval_seconds=interval), models, baseline)
    return replace(
        old,
        models=models,
        datasets={entry.name: old.datasets.get(entry.name, DatasetState(entry.name)) for entry in config.datasets},
        runs=runs,
    )


def run_request(config: Config, pair: Pair, trigger: str) -> RunRequest | None:
    """The run of a pair as it is configured; None if it is not."""
    model, dataset = config.model(pair[0]), config.dataset(pair[1])
    if model is None or dataset is None:
        return None
    limits = config.limits
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
        limits=RunLimits(
            image_seconds=limits.image_timeout,
            max_file_bytes=limits.max_file_bytes,
            max_pixels=limits.max_image_pixels,
        ),
        latency_sample=config.latency.sample,
        seed=config.latency.seed,
        threads=limits.threads or available_cores(),
        cache=config.cache(),
    )


def _model_state(entry: ModelConfig, old: Snapshot, baseline: Baseline | None, folder: Path) -> ModelState:
    fresh = ModelState(
        name=entry.name,
        role=entry.role,
        file=_shown(entry.file, folder),
        decision=entry.decision.rule().describe(),
        baseline=baseline,
    )
    before = old.models.get(entry.name)
    if before is None or (before.file, before.decision) != (fresh.file, fresh.decision):
        return fresh
    return replace(before, role=entry.role, baseline=baseline)


def _shown(file: Path, folder: Path) -> str:
    # Labels go to dashboards: they need not tell where on this machine the configuration lies.
    return str(file.relative_to(folder)) if file.is_relative_to(folder) else str(file)

"""Settings of the gate: decision rule, baseline, limits and required checks, from the flags and the configuration."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlight_exporter.checks.baseline import Baseline, read_baseline
from starlight_exporter.checks.limits import BASELINE_CHECKS, CHECK_NAMES, DEFAULT_LIMITS, CheckLimits, CheckName
from starlight_exporter.checks.suite import SUITE
from starlight_exporter.cli.arguments import providers_of
from starlight_exporter.config import Config, ModelConfig, load_config
from starlight_exporter.detector.decision import PRODUCTION, DecisionRule
from starlight_exporter.detector.providers import CPU, Providers
from starlight_exporter.errors import BaselineError, ConfigError
from starlight_exporter.evaluation.request import BaselineModel, RunLimits

BASELINE_MODEL: Final = Path("models", "baseline", "model.onnx")
NEED_BASELINE: Final[tuple[CheckName, ...]] = (*BASELINE_CHECKS, "fpr_stability")
"""Checks that have no result without a baseline."""
_TARGETS: Final = frozenset(CHECK_NAMES).difference(*SUITE.values())
LATENCY_CHECKS: Final[tuple[CheckName, ...]] = ("latency_baseline", "latency_limit")


@dataclass(frozen=True, slots=True)
class GateSettings:
    """Decision rule, limits of checks and images, and either a baseline model or a recorded baseline, or neither.

    The baseline model runs on the same execution providers as the model.
    Checks in `not_required` run, but do not decide.
    """

    decision: DecisionRule
    limits: CheckLimits
    image_limits: RunLimits
    not_required: frozenset[CheckName]
    baseline_model: BaselineModel | None
    recorded: Baseline | None
    baseline_file: Path | None
    providers: Providers = CPU

    @property
    def baseline_name(self) -> str:
        """The file of the baseline as text, empty without one."""
        return "" if self.baseline_file is None else str(self.baseline_file)

    @property
    def timed(self) -> bool:
        """Whether a required check needs latencies."""
        return not self.not_required.issuperset(LATENCY_CHECKS)


def gate_settings(options: argparse.Namespace) -> GateSettings:
    """Return the settings; flags take precedence over the configuration.

    Raise ConfigError or BaselineError for a file that cannot be used, if no check is required, or if a required check
    needs a baseline and there is none.
    """
    config = None if options.config is None else load_config(options.config)
    limits = DEFAULT_LIMITS if config is None else config.checks.limits()
    image_limits = RunLimits() if config is None else config.limits.of_image()
    not_required = _not_required(options, limits)
    production = None if config is None else _production(config, options.config)
    rule = options.decision or (PRODUCTION if production is None else production.decision.rule())
    providers = providers_of(options)
    if production is not None and not options.providers:
        providers = production.execution_providers()
    file, baseline_rule = _baseline(options, config, rule)
    if file is None:
        if needing := [name for name in NEED_BASELINE if name not in not_required]:
            raise BaselineError(f"no baseline for {', '.join(needing)}: use --baseline, --config, --only or --skip")
        return GateSettings(rule, limits, image_limits, not_required, None, None, None, providers)
    if file.suffix == ".json":
        return GateSettings(rule, limits, image_limits, not_required, None, read_baseline(file), file, providers)
    baseline = BaselineModel(file, baseline_rule)
    return GateSettings(rule, limits, image_limits, not_required, baseline, None, file, providers)


def _not_required(options: argparse.Namespace, limits: CheckLimits) -> frozenset[CheckName]:
    """Return the checks that do not decide. Raise ConfigError if none is left, or if one of --only cannot decide."""
    excluded = dict.fromkeys(limits.informational, "informational in the configuration")
    excluded |= dict.fromkeys(limits.disabled, "disabled in the configuration")
    excluded |= dict.fromkeys(_TARGETS, "a target, which the gate does not require")
    excluded |= dict.fromkeys(options.skip, "also in --skip")
    for name in options.only:
        if name in excluded:
            raise ConfigError(f"--only {name}: {excluded[name]}")
    required = frozenset(options.only or CHECK_NAMES).difference(excluded)
    if not required:
        raise ConfigError("no check is required: all are skipped, disabled or informational")
    return frozenset(CHECK_NAMES) - required


def _production(config: Config, file: Path) -> ModelConfig:
    production = [model for model in config.models if model.role == "production"]
    if len(production) != 1:
        raise ConfigError(f"{file}: models: expected one model with role production, got {len(production)}")
    return production[0]


def _baseline(
    options: argparse.Namespace, config: Config | None, rule: DecisionRule
) -> tuple[Path | None, DecisionRule]:
    """Return the baseline file and, for a model, its decision rule."""
    chosen: DecisionRule = options.baseline_decision or rule
    if options.baseline is not None:
        return options.baseline, chosen
    if config is not None:
        for model in config.models:
            if model.role == "baseline":
                return model.file, options.baseline_decision or model.decision.rule()
        return config.baseline, rule
    model_file = options.root / BASELINE_MODEL
    return (model_file if model_file.is_file() else None), chosen

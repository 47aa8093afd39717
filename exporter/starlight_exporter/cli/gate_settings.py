"""Settings of the gate: decision rule, baseline and limits, from the flags or from production's configuration."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from starlight_exporter.checks.baseline import Baseline, read_baseline
from starlight_exporter.checks.limits import DEFAULT_LIMITS, CheckLimits
from starlight_exporter.config import Config, load_config
from starlight_exporter.detector.decision import PRODUCTION, DecisionRule
from starlight_exporter.errors import ConfigError
from starlight_exporter.evaluation.request import BaselineModel

BASELINE_MODEL = Path("models", "baseline", "model.onnx")
RECORDED_BASELINE = Path("tests", "regression_baselines.json")


@dataclass(frozen=True, slots=True)
class GateSettings:
    """Decision rule and limits of the gate, and either a baseline model or a recorded baseline, or neither."""

    decision: DecisionRule
    limits: CheckLimits
    baseline_model: BaselineModel | None
    recorded: Baseline | None
    baseline_name: str


def gate_settings(options: argparse.Namespace) -> GateSettings:
    """Return the settings; flags take precedence over the configuration.

    Raise ConfigError or BaselineError for a file that cannot be used.
    """
    config = None if options.config is None else load_config(options.config)
    limits = DEFAULT_LIMITS if config is None else config.checks.limits()
    rule = options.decision or (PRODUCTION if config is None else _production_rule(config, options.config))
    file, baseline_rule = _baseline(options, config, rule)
    if file is None:
        return GateSettings(rule, limits, None, None, "")
    if file.suffix == ".json":
        return GateSettings(rule, limits, None, read_baseline(file), str(file))
    return GateSettings(rule, limits, BaselineModel(file, baseline_rule), None, str(file))


def _production_rule(config: Config, file: Path) -> DecisionRule:
    production = [model for model in config.models if model.role == "production"]
    if len(production) != 1:
        raise ConfigError(f"{file}: models: expected one model with role production, got {len(production)}")
    return production[0].decision.rule()


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
    return (model_file if model_file.is_file() else options.root / RECORDED_BASELINE), chosen

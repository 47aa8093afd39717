"""Decision rule that is applied to a model: the requested one, or one threshold if the model predicts no method."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from starlight_exporter.detector.decision import DecisionRule

if TYPE_CHECKING:
    from starlight_exporter.detector.model import Detector
    from starlight_exporter.evaluation.request import RunRequest
    from starlight_exporter.evaluation.results import Evaluation


def applied_rule(detector: Detector, requested: DecisionRule) -> DecisionRule:
    """Return the rule that is applied to the predictions of a model."""
    return requested.for_model(has_method=detector.has_method)


def applied_rule_of_file(file: Path, requested: DecisionRule) -> DecisionRule:
    """Return the rule that is applied to a model file, which is loaded only if that matters. Raise ModelError."""
    from starlight_exporter.detector.model import Detector

    return applied_rule(Detector.load(file), requested) if requested.needs_method else requested


def with_applied_rule(request: RunRequest, detector: Detector) -> RunRequest:
    """Return the request with the rule that is applied to its model."""
    return replace(request, decision=applied_rule(detector, request.decision))


def replaced_rule(requested: DecisionRule, applied: DecisionRule) -> str | None:
    """Return the text of the requested rule if another one is applied, otherwise None."""
    return None if requested == applied else requested.describe()


def rule_warnings(detector: Detector, requested: DecisionRule) -> tuple[str, ...]:
    """Return a warning if another rule than the requested one is applied to a model."""
    applied = applied_rule(detector, requested)
    if applied == requested:
        return ()
    return (f"{detector.path}: predicts no method: decided by {applied.describe()}, not by {requested.describe()}",)


def rule_text(evaluation: Evaluation) -> str:
    """Return the applied rule as text, and why it is not the requested one."""
    applied, replaced = evaluation.provenance.decision, evaluation.replaced_decision
    return applied if replaced is None else f"{applied} (the model predicts no method; requested: {replaced})"

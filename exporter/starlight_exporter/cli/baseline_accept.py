"""Make the production model the baseline: copy it over the baseline model and record its results.

Prints hashes, decision rules and rates of both models, then asks for confirmation. Run it on the host, because
containers mount models and the recorded baseline read-only. Exit code 2: not accepted, and nothing was written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from starlight_exporter.cli.arguments import add_config
from starlight_exporter.config_location import locate_config
from starlight_exporter.errors import DatasetError, EvaluationError, ModelError
from starlight_exporter.exit_codes import NOT_MEASURED, OK

if TYPE_CHECKING:
    from starlight_exporter.config import DecisionConfig
    from starlight_exporter.evaluation.request import RunRequest
    from starlight_exporter.evaluation.results import Evaluation, RunResult
    from starlight_exporter.runs.baseline_acceptance import Acceptance


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:
    """Add the flags."""
    add_config(parser, root)
    parser.add_argument("--yes", action="store_true", help="accept without asking")


def run(options: argparse.Namespace) -> int:
    """Print old → new, ask, replace both files."""
    from starlight_exporter.checks.baseline_recording import baseline_json, latency_warning, misclassified_files
    from starlight_exporter.checks.machine import current_machine
    from starlight_exporter.cli.outputs import require_writable
    from starlight_exporter.config import load_config
    from starlight_exporter.runs.baseline_acceptance import plan_acceptance, replace_baseline

    file = locate_config(options.config, options.config_root)
    plan = plan_acceptance(load_config(file), file)
    print_plan(plan)
    if not plan.same_rule:
        print(rule_instructions(plan, file), file=sys.stderr)
        return NOT_MEASURED
    if plan.same_model and not print_reasons(plan):
        return OK
    if not options.yes and not sys.stdin.isatty():
        print(f"{options.name}: standard input is not a terminal; pass --yes to accept", file=sys.stderr)
        return NOT_MEASURED
    for path in (plan.baseline.file, plan.recorded):
        require_writable(path)
    result = evaluate_both(plan)
    if warning := latency_warning(result.evaluation):
        print(f"{options.name}: {warning}; the recorded latencies will be too high", file=sys.stderr)
    if not options.yes and not confirmed():
        print("not accepted")
        return NOT_MEASURED
    text = baseline_json(
        result.evaluation,
        misclassified_files(result.predictions),
        command=options.command_line,
        machine=current_machine(result.evaluation.provenance.execution_provider),
    )
    for path in replace_baseline(plan, text):
        print(f"written: {path}")
    return OK


def print_plan(plan: Acceptance) -> None:
    """Print hashes and decision rules, old → new."""
    old, new = (model.decision.rule().describe() for model in (plan.baseline, plan.production))
    print(f"baseline model  {plan.baseline.file}")
    print(f"SHA-256         {plan.old_sha256 or plan.old_problem} → {plan.sha256}")
    print(f"decision rule   {old} → {new}")


def print_reasons(plan: Acceptance) -> bool:
    """Print what has to be replaced although the model is the same; return whether anything has."""
    from starlight_exporter.runs.baseline_acceptance import recorded_problem

    print("the production model already is the baseline model")
    problem = recorded_problem(plan)
    if problem:
        print(f"to be recorded again: {problem}")
    if plan.is_link:
        print(f"to be replaced by a copy: {plan.baseline.file}: a link to the production model")
    if not problem and not plan.is_link:
        print("the recorded baseline is comparable; nothing to do")
    return bool(problem) or plan.is_link


def rule_instructions(plan: Acceptance, file: Path) -> str:
    """Return the change of the configuration that gives the baseline the decision rule of production."""
    return (
        f"not accepted: {plan.baseline.name} needs the decision rule of {plan.production.name};"
        f" change its decision in {file} and run the command again:\n"
        f"    decision:\n      {_yaml(plan.production.decision)}"
    )


def evaluate_both(plan: Acceptance) -> RunResult:
    """Evaluate both models, print the rates old → new, and return the production model's result.

    A baseline model that cannot be evaluated is reported. Raise DatasetError if the images change between the
    evaluations, or if clean images or a method are missing; otherwise as `evaluate`.
    """
    from starlight_exporter.runs.baseline_acceptance import acceptance_requests

    old_request, new_request = acceptance_requests(plan)
    old, problem = None, plan.old_problem
    if old_request is not None:
        try:
            old = _evaluate(old_request).evaluation
        except (ModelError, EvaluationError) as error:
            problem = str(error)
    result = _evaluate(new_request)
    new = result.evaluation
    if not new.clean.total or any(not rate.total for rate in new.detections.values()):
        # Such a baseline would silently disable the checks of what is missing.
        raise DatasetError(f"{plan.dataset.path}: lacks clean images or a method; not accepted")
    if old is not None and old.provenance.dataset_fingerprint != new.provenance.dataset_fingerprint:
        raise DatasetError(f"{plan.dataset.path}: changed between the evaluations of the two models")
    if problem:
        print(f"old rates not measured: {problem}")
    print(f"rates on {plan.dataset.name}")
    print_rates({} if old is None else _rates(old), _rates(new))
    return result


def print_rates(old: Mapping[str, str], new: Mapping[str, str]) -> None:
    """Print rates, old → new where there is an old one."""
    width = max(map(len, new))
    for name, text in new.items():
        print(f"  {name:<{width}}  {f'{old[name]} → ' if name in old else ''}{text}")


def confirmed() -> bool:
    """Ask for confirmation; an empty answer or the end of the input is a refusal."""
    try:
        return input("Accept? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False


def _evaluate(request: RunRequest) -> RunResult:
    from starlight_exporter.cli.console import progress_bar
    from starlight_exporter.evaluation.run import evaluate

    with progress_bar(f"{request.model} on {request.dataset}") as progress:
        return evaluate(request, progress=progress)


def _rates(evaluation: Evaluation) -> dict[str, str]:
    from starlight_exporter.formatting import fraction, percent

    rates = {
        "false positive rate": evaluation.clean,
        **{f"false positive rate, clean {name}": rate for name, rate in evaluation.clean_by_format.items()},
        **{f"false positive rate, negative {name}": rate for name, rate in evaluation.negatives.items()},
        **{f"detection rate, {method}": rate for method, rate in evaluation.detections.items()},
    }
    return {name: f"{percent(rate.ratio)} ({fraction(rate)})" for name, rate in rates.items()}


def _yaml(decision: DecisionConfig) -> str:
    if decision.thresholds is None:
        return f"threshold: {decision.threshold}"
    values = ", ".join(f"{name}: {value}" for name, value in decision.thresholds.model_dump().items())
    return f"thresholds: {{{values}}}"

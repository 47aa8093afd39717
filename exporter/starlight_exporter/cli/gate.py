"""Run the regression suite, the gate before a deployment: compare a model with the baseline model and the limits.

Tests: false positive stability, detection rates, inference speed, format consistency, negatives resistance. Both models
are evaluated and timed side by side. With --config, the decision rule, the baseline and the limits are those of
production. On a shared CI runner, --skip latency_limit: the absolute limit depends on the machine.
Exit code 1: a regression; 2: a required check has no result, which never counts as passed; 3: a pass is inconclusive
(with --require-conclusive).
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from starlight_exporter.checks.limits import CHECK_NAMES
from starlight_exporter.cli.arguments import add_run_arguments, decision

if TYPE_CHECKING:
    from rich.table import Table

    from starlight_exporter.checks.comparison_basis import CheckBasis
    from starlight_exporter.checks.suite import SuiteTest
    from starlight_exporter.cli.gate_settings import GateSettings
    from starlight_exporter.evaluation.results import Evaluation, RunResult

REPORTS = Path("results", "regression_reports")
STYLES = {"passed": "green", "failed": "bold red", "not measured": "yellow"}


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:
    """Add the flags."""
    add_run_arguments(parser, root)
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="configuration of the exporter: use its production decision rule, baseline and limits",
    )
    parser.add_argument(
        "--baseline",
        type=Path,
        metavar="FILE",
        help="ONNX file of the baseline model, or a recorded baseline (.json); default: models/baseline/model.onnx if"
        " it exists, otherwise tests/regression_baselines.json",
    )
    parser.add_argument(
        "--baseline-decision", type=decision, help="decision rule of the baseline model (default: that of the model)"
    )
    parser.add_argument(
        "--negatives",
        type=Path,
        metavar="DIR",
        help="hard negatives by category, in addition to those of the dataset; equal categories are merged",
    )
    parser.add_argument("--report-dir", type=Path, default=root / REPORTS, help=f"default: {REPORTS}")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="also write JUnit XML")
    parser.add_argument(
        "--skip",
        action="append",
        choices=CHECK_NAMES,
        default=[],
        metavar="CHECK",
        help=f"do not require this check; can be repeated ({', '.join(CHECK_NAMES)})",
    )
    parser.add_argument(
        "--require-conclusive", action="store_true", help="exit with 3 if a required check passes inconclusively"
    )
    # The default depends on --config.
    parser.set_defaults(root=root, decision=None)


def run(options: argparse.Namespace) -> int:
    """Evaluate both models, write the report, print the suite."""
    from starlight_exporter.checks.checks import run_checks
    from starlight_exporter.checks.suite import exit_code, run_suite
    from starlight_exporter.cli.console import Console
    from starlight_exporter.cli.gate_settings import gate_settings
    from starlight_exporter.files import write_text
    from starlight_exporter.publish.regression_report import junit_xml, report_json, report_name

    settings = gate_settings(options)
    result = measured(options, settings)
    evaluation = result.evaluation
    checks = run_checks(evaluation, basis(options, settings, result), settings.limits)
    skipped = frozenset(options.skip) | settings.limits.disabled | settings.limits.informational
    tests = run_suite(checks, skipped)
    code = exit_code(evaluation, tests, require_conclusive=options.require_conclusive)
    written = options.report_dir / report_name(evaluation)
    write_text(written, report_json(evaluation, tests, settings.baseline_name, code))
    if options.junit is not None:
        write_text(options.junit, junit_xml(evaluation, tests))
    Console().print(tests_table(evaluation, tests))
    print(f"report: {written}")
    return code


def measured(options: argparse.Namespace, settings: GateSettings) -> RunResult:
    """Evaluate the model, timed together with the baseline model if there is one."""
    from starlight_exporter.cli.measuring import measure

    chosen = argparse.Namespace(**{**vars(options), "decision": settings.decision})
    result = measure(chosen, baseline=settings.baseline_model)
    return result if options.negatives is None else with_negatives(chosen, result)


def basis(options: argparse.Namespace, settings: GateSettings, result: RunResult) -> CheckBasis:
    """Return what the result is checked against: an evaluation of the baseline model, or the recorded baseline."""
    from starlight_exporter.checks.basis import basis_against_model, basis_against_recorded, basis_without_baseline
    from starlight_exporter.cli.measuring import measure

    evaluation, predictions = result.evaluation, result.predictions
    if settings.baseline_model is not None:
        chosen = argparse.Namespace(
            **{
                **vars(options),
                "model": settings.baseline_model.path,
                "decision": settings.baseline_model.decision,
                "role": "baseline",
                "training_log": None,
                "latency_sample": 0,
            }
        )
        baseline = measure(chosen)
        if options.negatives is not None:
            baseline = with_negatives(chosen, baseline)
        return basis_against_model(evaluation, predictions, baseline.evaluation, baseline.predictions)
    if settings.recorded is not None:
        return basis_against_recorded(evaluation, predictions, settings.recorded)
    return basis_without_baseline(evaluation, predictions)


def with_negatives(options: argparse.Namespace, first: RunResult) -> RunResult:
    """Return the result extended by a second folder of negatives; duplicate images count once."""
    from starlight_exporter.cli.linked_folder import link_folder
    from starlight_exporter.cli.measuring import measure
    from starlight_exporter.errors import DatasetError
    from starlight_exporter.evaluation.accuracy import accuracy

    if not options.negatives.is_dir():
        raise DatasetError(f"{options.negatives}: no such folder of negatives")
    with tempfile.TemporaryDirectory(prefix="starlight-negatives-") as root:
        link_folder(options.negatives, Path(root) / "negatives")
        settings = argparse.Namespace(**{**vars(options), "dataset": Path(root), "latency_sample": 0})
        more = measure(settings, expected_sha256=first.evaluation.provenance.model_sha256)
    if not more.evaluation.negatives:
        raise DatasetError(f"{options.negatives}: expected images in folders named after their category")
    known = {(one.category, one.sha256) for one in first.predictions if one.file_class == "negative" and one.sha256}
    # Files of both folders may have the same relative path, but are different images with covers of their own.
    added = (replace(one, path=f"{options.negatives}/{one.path}") for one in more.predictions)
    predictions = (*first.predictions, *(one for one in added if (one.category, one.sha256) not in known))
    counts = accuracy(predictions)
    evaluation = replace(
        first.evaluation, images=len(predictions), negatives=counts.negatives, not_measured=counts.not_measured
    )
    return replace(first, evaluation=evaluation, predictions=predictions)


def tests_table(evaluation: Evaluation, tests: tuple[SuiteTest, ...]) -> Table:
    """Return the suite's results as a terminal table."""
    from rich.markup import escape
    from rich.table import Column, Table

    from starlight_exporter.checks.suite import missing_images

    table = Table(Column("test", no_wrap=True), "slice", "result", "detail")
    for test in tests:
        table.add_section()
        style = STYLES[test.outcome]
        table.add_row(f"[bold]{test.name}[/bold]", "", f"[{style}]{test.outcome}[/{style}]", "")
        for one in test.checks:
            table.add_row(f"  {one.name}", escape(one.slice), escape(one.conclusion), escape(one.detail))
    if missing := missing_images(evaluation):
        table.add_section()
        table.add_row("[bold]images[/bold]", "", f"[{STYLES['not measured']}]not measured[/]", missing)
    return table

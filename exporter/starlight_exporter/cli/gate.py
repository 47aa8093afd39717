"""Run the regression suite, the gate before a deployment: compare a model with the baseline and the limits.

Tests: false positive stability, detection rates, inference speed, format consistency, negatives resistance.
Exit code 1: a regression; 2: something could not be measured, which never counts as passed.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from starlight_exporter.cli.arguments import add_run_arguments

if TYPE_CHECKING:
    from rich.table import Table

    from starlight_exporter.checks.suite import SuiteTest
    from starlight_exporter.evaluation.results import Evaluation, RunResult

BASELINE = Path("tests", "regression_baselines.json")
REPORTS = Path("results", "regression_reports")
STYLES = {"passed": "green", "failed": "bold red", "not measured": "yellow"}


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:
    """Add the flags."""
    add_run_arguments(parser, root)
    parser.add_argument("--baseline", type=Path, default=root / BASELINE, help=f"default: {BASELINE}")
    parser.add_argument(
        "--negatives",
        type=Path,
        metavar="DIR",
        help="hard negatives by category, in addition to those of the dataset; equal categories are merged",
    )
    parser.add_argument("--report-dir", type=Path, default=root / REPORTS, help=f"default: {REPORTS}")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="also write JUnit XML")


def run(options: argparse.Namespace) -> int:
    """Evaluate, write the report, print the suite."""
    from starlight_exporter.checks.baseline import read_baseline
    from starlight_exporter.checks.checks import run_checks
    from starlight_exporter.checks.suite import exit_code, run_suite
    from starlight_exporter.cli.console import Console
    from starlight_exporter.cli.measuring import measure
    from starlight_exporter.files import write_text
    from starlight_exporter.publish.regression_report import junit_xml, report_json, report_name

    baseline = read_baseline(options.baseline)
    result = measure(options)
    evaluation = result.evaluation if options.negatives is None else with_negatives(options, result)
    tests = run_suite(run_checks(evaluation, baseline))
    written = options.report_dir / report_name(evaluation)
    write_text(written, report_json(evaluation, tests, str(options.baseline)))
    if options.junit is not None:
        write_text(options.junit, junit_xml(evaluation, tests))
    Console().print(tests_table(evaluation, tests))
    print(f"report: {written}")
    return exit_code(evaluation, tests)


def with_negatives(options: argparse.Namespace, first: RunResult) -> Evaluation:
    """Return the evaluation extended by a second folder of negatives; duplicate images count once."""
    from starlight_exporter.cli.measuring import measure
    from starlight_exporter.errors import DatasetError
    from starlight_exporter.evaluation.accuracy import accuracy

    if not options.negatives.is_dir():
        raise DatasetError(f"{options.negatives}: no such folder of negatives")
    with tempfile.TemporaryDirectory(prefix="starlight-negatives-") as root:
        (Path(root) / "negatives").symlink_to(options.negatives.resolve(), target_is_directory=True)
        settings = argparse.Namespace(**{**vars(options), "dataset": Path(root), "latency_sample": 0})
        more = measure(settings, expected_sha256=first.evaluation.provenance.model_sha256)
    if not more.evaluation.negatives:
        raise DatasetError(f"{options.negatives}: expected images in folders named after their category")
    known = {(one.category, one.sha256) for one in first.predictions if one.file_class == "negative" and one.sha256}
    # Files of both folders may have the same relative path, but are different images with covers of their own.
    added = (replace(one, path=f"{options.negatives}/{one.path}") for one in more.predictions)
    predictions = (*first.predictions, *(one for one in added if (one.category, one.sha256) not in known))
    counts = accuracy(predictions)
    return replace(
        first.evaluation, images=len(predictions), negatives=counts.negatives, not_measured=counts.not_measured
    )


def tests_table(evaluation: Evaluation, tests: tuple[SuiteTest, ...]) -> Table:
    """Return the suite's results as a terminal table."""
    from rich.markup import escape
    from rich.table import Table

    from starlight_exporter.checks.suite import missing_images
    from starlight_exporter.publish import evaluation_report

    table = Table("test", "slice", "outcome", "detail")
    for test in tests:
        table.add_section()
        style = STYLES[test.outcome]
        table.add_row(f"[bold]{test.name}[/bold]", "", f"[{style}]{test.outcome}[/{style}]", "")
        for one in test.checks:
            table.add_row("", escape(one.slice), evaluation_report.check_result_text(one), escape(one.detail))
    if missing := missing_images(evaluation):
        table.add_section()
        table.add_row("[bold]images[/bold]", "", f"[{STYLES['not measured']}]not measured[/]", missing)
    return table

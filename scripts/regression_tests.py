#!/usr/bin/env python3
"""The gate before a deployment: evaluates a model and holds it against the baseline and the limits.

Tests: false positive stability, detection rates, inference speed, format consistency, negatives resistance.
Exit code 0: all passed; 1: a regression; 2: something could not be measured, which is never a pass.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from starlight_exporter.checks.baseline import read_baseline
from starlight_exporter.checks.checks import run_checks
from starlight_exporter.checks.suite import SuiteTest, exit_code, missing_images, run_suite
from starlight_exporter.cli.arguments import add_run_arguments, measure
from starlight_exporter.errors import DatasetError, StarlightError
from starlight_exporter.evaluation.accuracy import accuracy
from starlight_exporter.evaluation.results import Evaluation, RunResult
from starlight_exporter.files import write_text
from starlight_exporter.publish import report
from starlight_exporter.publish.regression_report import junit_xml, report_json, report_name

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ROOT / "tests" / "regression_baselines.json"
REPORTS = ROOT / "results" / "regression_reports"
STYLES = {"passed": "green", "failed": "bold red", "not measured": "yellow"}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run_arguments(parser)
    parser.add_argument("--baseline", type=Path, default=BASELINE, help="default: tests/regression_baselines.json")
    parser.add_argument(
        "--negatives",
        type=Path,
        metavar="DIR",
        help="hard negatives by category, besides the dataset's; equal categories are counted together",
    )
    parser.add_argument("--report-dir", type=Path, default=REPORTS, help="default: results/regression_reports")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML too")
    return parser.parse_args(arguments)


def with_negatives(options: argparse.Namespace, first: RunResult) -> Evaluation:
    """The evaluation with a second folder of negatives besides the dataset's; an image that both hold counts once."""
    if not options.negatives.is_dir():
        raise DatasetError(f"{options.negatives}: no such folder of negatives")
    with tempfile.TemporaryDirectory(prefix="starlight-negatives-") as root:
        (Path(root) / "negatives").symlink_to(options.negatives.resolve(), target_is_directory=True)
        settings = argparse.Namespace(**{**vars(options), "dataset": Path(root), "latency_sample": 0})
        more = measure(settings, expected_sha256=first.evaluation.provenance.model_sha256)
    if not more.evaluation.negatives:
        raise DatasetError(f"{options.negatives}: expected images in folders named after their category")
    held = {(one.category, one.sha256) for one in first.predictions if one.file_class == "negative" and one.sha256}
    predictions = (*first.predictions, *(one for one in more.predictions if (one.category, one.sha256) not in held))
    counts = accuracy(predictions)
    return replace(
        first.evaluation, images=len(predictions), negatives=counts.negatives, not_measured=counts.not_measured
    )


def tests_table(evaluation: Evaluation, tests: tuple[SuiteTest, ...]) -> Table:
    """The suite for a terminal."""
    table = Table("test", "slice", "outcome", "detail")
    for test in tests:
        table.add_section()
        style = STYLES[test.outcome]
        table.add_row(f"[bold]{test.name}[/bold]", "", f"[{style}]{test.outcome}[/{style}]", "")
        for one in test.checks:
            table.add_row("", escape(one.slice), report.outcome(one), escape(one.detail))
    if missing := missing_images(evaluation):
        table.add_section()
        table.add_row("[bold]images[/bold]", "", f"[{STYLES['not measured']}]not measured[/]", missing)
    return table


def main() -> int:
    """See the text on top for the exit codes."""
    options = parse()
    try:
        baseline = read_baseline(options.baseline)
        result = measure(options)
        evaluation = result.evaluation if options.negatives is None else with_negatives(options, result)
        tests = run_suite(run_checks(evaluation, baseline))
        written = options.report_dir / report_name(evaluation)
        write_text(written, report_json(evaluation, tests, str(options.baseline)))
        if options.junit is not None:
            write_text(options.junit, junit_xml(evaluation, tests))
    except StarlightError as error:
        print(f"regression_tests: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("regression_tests: interrupted", file=sys.stderr)
        return 130
    Console().print(tests_table(evaluation, tests))
    print(f"report: {written}")
    return exit_code(evaluation, tests)


if __name__ == "__main__":
    sys.exit(main())

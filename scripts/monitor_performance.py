#!/usr/bin/env python3
"""Evaluates one model on one dataset, prints its figures and the regressions against a baseline.

Exit code 0: measured, no regression; 1: a regression against the baseline; 2: it could not be measured, or a mistake on
the command line, told in one line.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from starlight_exporter.checks.baseline import read_baseline
from starlight_exporter.checks.checks import baseline_regressions, run_checks
from starlight_exporter.cli.arguments import add_run_arguments, measure
from starlight_exporter.errors import StarlightError
from starlight_exporter.files import write_text
from starlight_exporter.markdown.document import render
from starlight_exporter.markdown.files import write_document
from starlight_exporter.markdown.reading import of_one_evaluation
from starlight_exporter.publish import report
from starlight_exporter.publish.predictions_csv import predictions_csv

ROOT = Path(__file__).resolve().parent.parent
DASHBOARD = ROOT / "docs" / "grok" / "performance_dashboard.md"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_run_arguments(parser)
    parser.add_argument("--baseline", type=Path, help="JSON file with the rates and latencies to hold")
    parser.add_argument("--output", type=Path, help="write every figure to this JSON file")
    parser.add_argument("--predictions", type=Path, help="write what the model said of each file to this CSV file")
    parser.add_argument("--update-dashboard", action="store_true", help=f"rewrite {DASHBOARD.relative_to(ROOT)}")
    return parser.parse_args(arguments)


def main() -> int:
    """See the text on top for the exit codes."""
    options = parse()
    console = Console()
    try:
        baseline = None if options.baseline is None else read_baseline(options.baseline)
        result = measure(options)
        checks = run_checks(result.evaluation, baseline)
        if options.output is not None:
            write_text(options.output, report.metrics_json(result.evaluation, checks))
        if options.predictions is not None:
            write_text(options.predictions, predictions_csv(result.predictions))
        if options.update_dashboard:
            reading = of_one_evaluation(result.evaluation, checks)
            write_document(DASHBOARD, render(reading, stem=DASHBOARD.stem, now=result.evaluation.finished_at))
    except StarlightError as error:
        print(f"monitor_performance: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("monitor_performance: interrupted", file=sys.stderr)
        return 130
    for warning in result.warnings:
        print(f"monitor_performance: {warning}", file=sys.stderr)
    console.print(report.figures_table(result.evaluation))
    console.print(report.failed_checks_table(checks))
    regressions = baseline_regressions(checks)
    for regression in regressions:
        print(f"regression: {regression.name} {regression.slice} ({regression.severity}): {regression.detail}")
    if all(prediction.verdict is None for prediction in result.predictions):
        print("monitor_performance: not one image could be measured", file=sys.stderr)
        return 2
    return 1 if regressions else 0


if __name__ == "__main__":
    sys.exit(main())

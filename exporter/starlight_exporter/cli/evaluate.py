"""Evaluate one model on one dataset; print its metrics and its regressions against a baseline.

Exit code 1: a regression against the baseline; 2: the baseline is not comparable.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from starlight_exporter.cli.arguments import add_run_arguments
from starlight_exporter.cli.command import clean_up_when_terminated
from starlight_exporter.exit_codes import CHECK_FAILED, NOT_MEASURED, OK

DASHBOARD = Path("docs", "grok", "performance_dashboard.md")


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:
    """Add the flags."""
    add_run_arguments(parser, root)
    parser.add_argument("--baseline", type=Path, help="JSON file with the rates and latencies to compare with")
    parser.add_argument("--output", type=Path, help="write all metrics to this JSON file")
    parser.add_argument("--predictions", type=Path, help="write the prediction for each file to this CSV file")
    parser.add_argument(
        "--update-dashboard",
        action="store_const",
        const=root / DASHBOARD,
        dest="dashboard",
        help=f"rewrite {DASHBOARD}",
    )


def run(options: argparse.Namespace) -> int:
    """Evaluate, write the requested files, print tables."""
    from starlight_exporter.checks.baseline import read_baseline
    from starlight_exporter.checks.basis import basis_against_recorded, basis_without_baseline
    from starlight_exporter.checks.checks import baseline_regressions, run_checks
    from starlight_exporter.cli.console import Console
    from starlight_exporter.cli.measuring import measure
    from starlight_exporter.cli.outputs import require_writable
    from starlight_exporter.files import write_parts, write_text
    from starlight_exporter.markdown.content import evaluation_content
    from starlight_exporter.markdown.document import render_document
    from starlight_exporter.markdown.writer import write_document
    from starlight_exporter.publish import evaluation_report
    from starlight_exporter.publish.predictions_csv import predictions_csv

    clean_up_when_terminated()
    baseline = None if options.baseline is None else read_baseline(options.baseline)
    for path in filter(None, (options.output, options.predictions, options.dashboard)):
        require_writable(path)
    result = measure(options)
    evaluation, predictions = result.evaluation, result.predictions
    basis = (
        basis_without_baseline(evaluation, predictions)
        if baseline is None
        else basis_against_recorded(evaluation, predictions, baseline)
    )
    checks = run_checks(evaluation, basis)
    if options.output is not None:
        write_text(options.output, evaluation_report.metrics_json(result.evaluation, checks))
    if options.predictions is not None:
        write_parts(options.predictions, predictions_csv(result.predictions))
    if options.dashboard is not None:
        content = evaluation_content(result.evaluation, checks, basis)
        document = render_document(content, stem=options.dashboard.stem, now=result.evaluation.finished_at)
        write_document(options.dashboard, document)
    for warning in result.warnings:
        print(f"{options.name}: {warning}", file=sys.stderr)
    console = Console()
    console.print(evaluation_report.metrics_table(result.evaluation))
    console.print(evaluation_report.failed_checks_table(checks))
    regressions = baseline_regressions(checks)
    for regression in regressions:
        print(f"regression: {regression.name} {regression.slice} ({regression.severity}): {regression.detail}")
    if all(prediction.verdict is None for prediction in result.predictions):
        print(f"{options.name}: no image could be measured", file=sys.stderr)
        return NOT_MEASURED
    if regressions:
        return CHECK_FAILED
    obstacle = None if basis.baseline is None else basis.baseline.obstacle
    if obstacle is not None:
        print(f"{options.name}: {options.baseline}: not comparable: {obstacle.text}", file=sys.stderr)
        return NOT_MEASURED
    return OK

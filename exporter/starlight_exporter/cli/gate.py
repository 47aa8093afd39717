"""Gate a deployment: compare a model with the baseline model and the limits, on the same images.

Tests: false positive stability, detection rates, inference speed, format consistency, negatives resistance. Both models
are evaluated and timed side by side. With --config, the decision rule, the baseline and all limits, those of images
too, are those of production. On a shared CI runner, --skip latency_limit: the absolute limit depends on the machine.
The last line of the output is the result.
Exit code 1: a regression; 2: a required check has no result, which never counts as passed; 3: a pass is inconclusive
(with --require-conclusive).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from starlight_exporter.checks.limits import CHECK_NAMES
from starlight_exporter.cli.arguments import add_run_arguments, decision
from starlight_exporter.cli.command import clean_up_when_terminated

if TYPE_CHECKING:
    from starlight_exporter.cli.gate_evaluation import GateEvaluation
    from starlight_exporter.cli.gate_settings import GateSettings
    from starlight_exporter.publish.gate.report import GateReport

REPORTS = Path("results", "regression_reports")


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
        help="ONNX file of the baseline model, or a recorded baseline (.json); default: that of --config, otherwise"
        " models/baseline/model.onnx if it exists",
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
    names = ", ".join(CHECK_NAMES)
    for flag, text in (
        ("only", f"require only this check; can be repeated ({names})"),
        ("skip", "do not require this check; can be repeated"),
    ):
        parser.add_argument(f"--{flag}", action="append", choices=CHECK_NAMES, default=[], metavar="CHECK", help=text)
    parser.add_argument(
        "--require-conclusive", action="store_true", help="exit with 3 if a required check passes inconclusively"
    )
    _add_outputs(parser, root)
    # The default depends on --config.
    parser.set_defaults(root=root, decision=None)


def _add_outputs(parser: argparse.ArgumentParser, root: Path) -> None:
    parser.add_argument(
        "--report-dir", type=Path, default=root / REPORTS, help=f"folder of the JSON report (default: {REPORTS})"
    )
    parser.add_argument(
        "--junit", type=Path, metavar="FILE", help="write JUnit XML with durations and the properties of each check"
    )
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help='append a summary, for example to "$GITHUB_STEP_SUMMARY"'
    )
    parser.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="write a page with thumbnails of the misclassified images; one file that requests nothing",
    )
    printed = parser.add_mutually_exclusive_group()
    printed.add_argument(
        "--json",
        action="store_true",
        help="print the JSON report on standard output, and the result on standard error",
    )
    printed.add_argument("--quiet", action="store_true", help="print only the result, errors and warnings")


def run(options: argparse.Namespace) -> int:
    """Check inputs and outputs, evaluate both models, write the reports, print the result."""
    from starlight_exporter.checks.checks import run_checks
    from starlight_exporter.checks.suite import exit_code, run_suite
    from starlight_exporter.checks.suite_result import result_line
    from starlight_exporter.cli.gate_evaluation import evaluate_both, require_inputs
    from starlight_exporter.cli.gate_settings import gate_settings
    from starlight_exporter.publish.gate.report import GateReport, wrong_images

    clean_up_when_terminated()
    started = time.monotonic()
    settings = gate_settings(options)
    _require_outputs(options, settings)
    require_inputs(options, settings)
    found = evaluate_both(options, settings)
    for warning in found.warnings:
        print(f"{options.name}: {warning}", file=sys.stderr)
    checks = run_checks(found.evaluation, found.basis, settings.limits)
    tests = run_suite(checks, settings.not_required)
    code = exit_code(found.evaluation, tests, require_conclusive=options.require_conclusive)
    report = GateReport(
        evaluation=found.evaluation,
        baseline=settings.baseline_name,
        baseline_evaluation=found.baseline,
        tests=tests,
        code=code,
        result=result_line(found.evaluation, tests, code),
        seconds=time.monotonic() - started,
        wrong=wrong_images(found.predictions, tests, found.was_wrong),
        unmeasured=tuple(one for one in found.predictions if one.verdict is None),
    )
    _write_and_print(options, report, found)
    return code


def _require_outputs(options: argparse.Namespace, settings: GateSettings) -> None:
    from starlight_exporter.cli.outputs import require_outputs, require_writable

    require_outputs(
        {"--junit": options.junit, "--html": options.html},
        {"--markdown": options.markdown},
        (options.model, options.config, settings.baseline_file),
    )
    require_writable(options.report_dir / "report.json")


def _write_and_print(options: argparse.Namespace, report: GateReport, found: GateEvaluation) -> None:
    """Write the requested files, then print the output, whose last line is the result."""
    from starlight_exporter.cli.gate_output import print_checks
    from starlight_exporter.files import append_text, write_text
    from starlight_exporter.publish.gate.html import html_page, shown_images
    from starlight_exporter.publish.gate.junit import junit_xml
    from starlight_exporter.publish.gate.markdown import markdown_summary
    from starlight_exporter.publish.regression_report import report_json, report_name

    text = report_json(report.evaluation, report.tests, report.baseline, report.code)
    written = options.report_dir / report_name(report.evaluation)
    write_text(written, text)
    if options.junit is not None:
        write_text(options.junit, junit_xml(report))
    if options.html is not None:
        shown = [image.prediction for group in shown_images(report) for image in group.images]
        write_text(options.html, html_page(report, found.thumbnails(shown)))
    if options.markdown is not None:
        append_text(options.markdown, markdown_summary(report))
    if options.json:
        print(text, end="")
        print(report.result, file=sys.stderr)
        return
    if not options.quiet:
        print_checks(report)
        print(f"report: {written}")
    print(report.result)

"""Evaluate one model on one dataset and write the result as the baseline that later models are compared with."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from starlight_exporter.cli.arguments import RESULTS, add_run_arguments
from starlight_exporter.exit_codes import NOT_MEASURED, OK

OUTPUT = RESULTS / "regression_baselines.json"


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:
    """Add the flags."""
    add_run_arguments(parser, root)
    parser.add_argument("--output", type=Path, default=root / OUTPUT, help=f"file to write (default: {OUTPUT})")


def run(options: argparse.Namespace) -> int:
    """Evaluate, write the baseline, print a table."""
    from starlight_exporter.checks.baseline_recording import baseline_json, latency_warning, misclassified_files
    from starlight_exporter.checks.machine import current_machine
    from starlight_exporter.cli.console import Console
    from starlight_exporter.cli.measuring import measure
    from starlight_exporter.cli.outputs import require_writable
    from starlight_exporter.files import write_text
    from starlight_exporter.publish import evaluation_report

    require_writable(options.output)
    result = measure(options)
    evaluation = result.evaluation
    if not evaluation.clean.total or any(not rate.total for rate in evaluation.detections.values()):
        # Such a baseline would silently disable the checks of what is missing.
        print(f"{options.name}: the dataset lacks clean images or a method; no baseline written", file=sys.stderr)
        return NOT_MEASURED
    text = baseline_json(
        evaluation,
        misclassified_files(result.predictions),
        command=options.command_line,
        machine=current_machine(evaluation.provenance.execution_provider),
    )
    write_text(options.output, text)
    Console().print(evaluation_report.metrics_table(evaluation))
    if warning := latency_warning(evaluation):
        print(f"{options.name}: {warning}; record the latencies again when it is idle", file=sys.stderr)
    print(f"written: {options.output}")
    return OK

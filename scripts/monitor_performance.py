#!/usr/bin/env python3
"""Evaluates one model on one dataset, prints its figures and the regressions against a baseline.

Exit code 0: measured, no regression; 1: a regression against the baseline; 2: it could not be measured, or a mistake on
the command line, told in one line.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from exporter.detector.decision import PLAIN, PRODUCTION, DecisionRule
from exporter.errors import ConfigError, StarlightError
from exporter.evaluation import report
from exporter.evaluation.baseline import read_baseline
from exporter.evaluation.evaluation import ROLES, RunResult
from exporter.evaluation.predictions import predictions_csv
from exporter.evaluation.regression import baseline_regressions, check
from exporter.evaluation.request import RunRequest, available_cores
from exporter.evaluation.run import evaluate

ROOT = Path(__file__).resolve().parent.parent
DASHBOARD = ROOT / "docs" / "grok" / "performance_dashboard.md"


def decision(text: str) -> DecisionRule:
    """`production`, `plain`, or one threshold."""
    named = {"production": PRODUCTION, "plain": PLAIN}
    try:
        return named[text] if text in named else DecisionRule.single(float(text))
    except (ValueError, ConfigError) as error:
        expected = "production, plain or a threshold from 0 to 1"
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text}") from error


def whole(least: int) -> Callable[[str], int]:
    """An argument type: a whole number of at least `least`."""

    def parse_whole(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {text}")
        return value

    return parse_whole


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="ONNX file")
    parser.add_argument("--dataset", type=Path, required=True, help="folder with clean/, stego/ and negatives/")
    parser.add_argument("--baseline", type=Path, help="JSON file with the rates and latencies to hold")
    parser.add_argument("--output", type=Path, help="write every figure to this JSON file")
    parser.add_argument("--predictions", type=Path, help="write what the model said of each file to this CSV file")
    parser.add_argument("--update-dashboard", action="store_true", help=f"rewrite {DASHBOARD.relative_to(ROOT)}")
    parser.add_argument(
        "--decision",
        type=decision,
        default=PRODUCTION,
        help="production (thresholds per predicted method), plain (0.5) or a threshold (default: production)",
    )
    parser.add_argument("--role", choices=ROLES, default="research", help="shown with the figures (default: research)")
    parser.add_argument("--training-log", type=Path, help="JSONL file with losses and accuracies per epoch")
    parser.add_argument("--threads", type=whole(1), default=available_cores(), help="default: one per core")
    parser.add_argument(
        "--latency-sample", type=whole(0), default=1000, help="images to time; 0 for none (default: 1000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="chooses the images to time (default: 0)")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> RunResult:
    """One evaluation in this process, with a progress bar on standard error."""
    path: Path = options.model
    request = RunRequest(
        # models/production/model.onnx is called by its folder, anything/else.onnx by its own name.
        model=path.resolve().parent.name if path.stem == "model" else path.stem,
        role=options.role,
        model_path=path,
        decision=options.decision,
        dataset=options.dataset.resolve().name,
        dataset_root=options.dataset,
        trigger="command",
        training_log=options.training_log,
        latency_sample=options.latency_sample,
        seed=options.seed,
        threads=options.threads,
    )
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("measuring", total=None)
        return evaluate(request, progress=lambda done, total: bar.update(task, completed=done, total=total))


def main() -> int:
    """See the text on top for the exit codes."""
    options = parse()
    console = Console()
    try:
        baseline = None if options.baseline is None else read_baseline(options.baseline)
        result = run(options)
        checks = check(result.evaluation, baseline)
        if options.output is not None:
            report.save(options.output, report.metrics_json(result.evaluation, checks))
        if options.predictions is not None:
            report.save(options.predictions, predictions_csv(result.predictions))
        if options.update_dashboard:
            report.save(DASHBOARD, report.dashboard_markdown(result.evaluation, checks))
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

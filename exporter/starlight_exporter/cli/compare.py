"""Evaluate two models on the same images and write a document with the results of the paired tests."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from starlight_exporter.cli.arguments import (
    DATASET_HELP,
    DECISION_HELP,
    add_document,
    add_latency_sample,
    add_models_dir,
    add_providers,
    add_threads,
    dataset_names,
    dataset_root,
    decision,
    integer,
)
from starlight_exporter.cli.command import clean_up_when_terminated
from starlight_exporter.dataset.sources.root import DatasetRoot
from starlight_exporter.detector.decision import PRODUCTION, DecisionRule
from starlight_exporter.errors import ComparisonError
from starlight_exporter.exit_codes import OK
from starlight_exporter.models.names import model_name

if TYPE_CHECKING:
    from starlight_exporter.evaluation.request import RunRequest
    from starlight_exporter.evaluation.results import RunResult

DOCUMENT = Path("docs", "grok", "baseline_comparison.md")
RESULTS = Path("results", "baselines")


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:
    """Add the flags."""
    parser.add_argument("--baseline", type=Path, required=True, help="ONNX file of the older model")
    parser.add_argument("--candidate", type=Path, required=True, help="ONNX file of the newer model")
    parser.add_argument(
        "--dataset", type=dataset_root, action="append", required=True, help=f"{DATASET_HELP}; repeatable"
    )
    for model in ("baseline", "candidate"):
        parser.add_argument(f"--{model}-decision", type=decision, default=PRODUCTION, help=DECISION_HELP)
    parser.add_argument(
        "--allow-different-rules", action="store_true", help="compare models even if their decision rules differ"
    )
    add_document(parser, root, DOCUMENT)
    parser.add_argument(
        "--results",
        type=Path,
        default=root / RESULTS,
        help=f"folder for predictions and metrics (default: {RESULTS})",
    )
    add_models_dir(parser, root)
    add_providers(parser)
    add_threads(parser)
    add_latency_sample(parser)
    parser.add_argument("--seed", type=integer(0), default=0, help="random seed (default: 0)")


def run(options: argparse.Namespace) -> int:
    """Evaluate both models on every dataset, compare, ablate the candidate, write all files."""
    from starlight_exporter.analysis.ablation_study import ablation_study
    from starlight_exporter.analysis.comparison import require_different_files
    from starlight_exporter.checks.basis import basis_without_baseline
    from starlight_exporter.checks.checks import run_checks
    from starlight_exporter.cli.console import progress_bar
    from starlight_exporter.cli.measuring import research_request
    from starlight_exporter.cli.outputs import require_writable
    from starlight_exporter.evaluation.run import evaluate
    from starlight_exporter.files import write_parts, write_text
    from starlight_exporter.publish.documents.baseline_comparison import document
    from starlight_exporter.publish.documents.slice_tests import dataset_comparison
    from starlight_exporter.publish.evaluation_report import metrics_json
    from starlight_exporter.publish.predictions_csv import predictions_csv

    clean_up_when_terminated()

    def request(model: Path, rule: DecisionRule, name: str, dataset: DatasetRoot) -> RunRequest:
        return replace(
            research_request(options, model, dataset, rule),
            dataset=name,
            models_dir=options.models_dir,
            latency_sample=options.latency_sample,
        )

    def evaluate_one(model: Path, rule: DecisionRule, name: str, dataset: DatasetRoot) -> RunResult:
        with progress_bar(f"{model_name(model)} on {name}") as progress:
            result = evaluate(request(model, rule, name, dataset), progress=progress)
        for warning in result.warnings:
            print(f"{options.name}: {warning}", file=sys.stderr)
        return result

    if options.baseline_decision != options.candidate_decision and not options.allow_different_rules:
        raise ComparisonError("the decision rules differ; pass --allow-different-rules to compare anyway")
    require_different_files(options.baseline, options.candidate)
    if model_name(options.baseline) == model_name(options.candidate):
        name = model_name(options.baseline)
        raise ComparisonError(f"both models are called {name}; put them into folders of different names")
    names = dataset_names(options.dataset)
    for path in (options.output, options.results / "comparison.json"):
        require_writable(path)
    results = []
    written: dict[Path, Iterable[str]] = {}
    for name, dataset in zip(names, options.dataset, strict=True):
        old = evaluate_one(options.baseline, options.baseline_decision, name, dataset)
        new = evaluate_one(options.candidate, options.candidate_decision, name, dataset)
        rules = [one.evaluation.provenance.decision for one in (old, new)]
        if rules[0] != rules[1] and not options.allow_different_rules:
            # One of the models predicts no method.
            raise ComparisonError(
                f"the decision rules differ ({'; '.join(rules)}); pass --allow-different-rules to compare anyway"
            )
        results.append(dataset_comparison(old, new, same_rule=not options.allow_different_rules))
        for result in (old, new):
            # Files of the first dataset have no suffix.
            suffix = "" if len(results) == 1 else f"_{result.evaluation.dataset}"
            stem = f"{result.evaluation.model}{suffix}"
            written[options.results / f"{stem}_predictions.csv"] = predictions_csv(result.predictions)
            checks = run_checks(result.evaluation, basis_without_baseline(result.evaluation, result.predictions))
            written[options.results / f"{stem}_metrics.json"] = [metrics_json(result.evaluation, checks)]
    with progress_bar("ablating") as progress:
        ablation = ablation_study(
            request(options.candidate, options.candidate_decision, names[0], options.dataset[0]), progress=progress
        )
    written[options.results / "comparison.json"] = [json.dumps([asdict(one.comparison) for one in results], indent=2)]
    for path, parts in written.items():
        write_parts(path, parts)
    write_text(options.output, document(results, ablation))
    print(f"written: {options.output}")
    return OK

#!/usr/bin/env python3
"""Evaluates two models on the same images and writes what the paired tests decide between them.

Exit code 0: written; 2: it could not be measured, or a mistake on the command line, told in one line.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from starlight_exporter.cli.arguments import add_models_dir, dataset_names, decision, model_name, progress_bar, whole
from starlight_exporter.detector.decision import PRODUCTION, DecisionRule
from starlight_exporter.errors import ComparisonError, StarlightError
from starlight_exporter.evaluation.request import RunRequest, available_cores
from starlight_exporter.files import write_text

ROOT = Path(__file__).resolve().parent.parent


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--baseline", type=Path, required=True, help="ONNX file of the older model")
    parser.add_argument("--candidate", type=Path, required=True, help="ONNX file of the newer one")
    parser.add_argument(
        "--dataset", type=Path, action="append", required=True, help="folder with clean/, stego/ and negatives/; repeat"
    )
    for who in ("baseline", "candidate"):
        parser.add_argument(
            f"--{who}-decision", type=decision, default=PRODUCTION, help="production, plain or a threshold"
        )
    parser.add_argument(
        "--allow-different-rules",
        action="store_true",
        help="compare models that decide by different rules all the same",
    )
    parser.add_argument(
        "--output", type=Path, default=ROOT / "docs" / "grok" / "baseline_comparison.md", help="the document to write"
    )
    parser.add_argument(
        "--results", type=Path, default=ROOT / "results" / "baselines", help="folder for predictions and metrics"
    )
    add_models_dir(parser)
    parser.add_argument("--threads", type=whole(1), default=available_cores(), help="default: one per core")
    parser.add_argument("--latency-sample", type=whole(0), default=1000, help="images to time; 0 for none")
    parser.add_argument("--seed", type=whole(0), default=0, help="of all choices (default: 0)")
    return parser.parse_args(arguments)


def main() -> int:
    """See the text on top for the exit codes."""
    options = parse()
    # Late: a mistake on the command line is told without loading the ONNX runtime.
    from starlight_exporter.analysis.comparison import compare, flips, require_different_files
    from starlight_exporter.analysis.study import study
    from starlight_exporter.checks.checks import run_checks
    from starlight_exporter.evaluation.results import RunResult
    from starlight_exporter.evaluation.run import evaluate
    from starlight_exporter.publish.documents.baseline_comparison import OnDataset, document
    from starlight_exporter.publish.predictions_csv import predictions_csv
    from starlight_exporter.publish.report import metrics_json

    def request(model: Path, rule: DecisionRule, name: str, dataset: Path) -> RunRequest:
        return RunRequest(
            model=model_name(model),
            role="research",
            model_path=model,
            decision=rule,
            dataset=name,
            dataset_root=dataset,
            trigger="command",
            models_dir=options.models_dir,
            latency_sample=options.latency_sample,
            seed=options.seed,
            threads=options.threads,
        )

    def run(model: Path, rule: DecisionRule, name: str, dataset: Path) -> RunResult:
        with progress_bar(f"{model_name(model)} on {name}") as progress:
            return evaluate(request(model, rule, name, dataset), progress=progress)

    try:
        if options.baseline_decision != options.candidate_decision and not options.allow_different_rules:
            raise ComparisonError("the decision rules differ; --allow-different-rules compares all the same")
        require_different_files(options.baseline, options.candidate)
        if model_name(options.baseline) == model_name(options.candidate):
            name = model_name(options.baseline)
            raise ComparisonError(f"both models are called {name}; put them into folders of different names")
        names = dataset_names(options.dataset)
        results = []
        written: dict[Path, str] = {}
        for name, dataset in zip(names, options.dataset, strict=True):
            old = run(options.baseline, options.baseline_decision, name, dataset)
            new = run(options.candidate, options.candidate_decision, name, dataset)
            against = compare(
                old.evaluation,
                old.predictions,
                new.evaluation,
                new.predictions,
                against=old.evaluation.model,
                same_rule=not options.allow_different_rules,
            )
            results.append(OnDataset(old.evaluation, new.evaluation, against, flips(old.predictions, new.predictions)))
            for result in (old, new):
                # The first dataset has the plain names.
                suffix = "" if len(results) == 1 else f"_{result.evaluation.dataset}"
                stem = f"{result.evaluation.model}{suffix}"
                written[options.results / f"{stem}_predictions.csv"] = predictions_csv(result.predictions)
                checks = run_checks(result.evaluation, None)
                written[options.results / f"{stem}_metrics.json"] = metrics_json(result.evaluation, checks)
        with progress_bar("ablating") as progress:
            ablation = study(
                request(options.candidate, options.candidate_decision, names[0], options.dataset[0]), progress=progress
            )
        written[options.results / "comparison.json"] = json.dumps([asdict(one.comparison) for one in results], indent=2)
        for path, text in written.items():
            write_text(path, text)
        write_text(options.output, document(results, ablation))
    except StarlightError as error:
        print(f"compare_baselines: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("compare_baselines: interrupted", file=sys.stderr)
        return 130
    print(f"written: {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

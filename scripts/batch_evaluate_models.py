#!/usr/bin/env python3
"""Evaluates every model of a folder on one dataset, and says which differences chance explains.

One without a card is measured as well and says so, unless it is a copy of one with a card, as a deployed model is.

Exit code 0: at least one model was measured; 2: none was, or a mistake on the command line, told in one line.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from starlight_exporter.cli.arguments import decision, progress_bar, whole
from starlight_exporter.detector.decision import PRODUCTION
from starlight_exporter.errors import DatasetError, ModelError, StarlightError
from starlight_exporter.evaluation.request import RunRequest, available_cores
from starlight_exporter.files import write_text
from starlight_exporter.models.cards import FoundModel, find_models

ROOT = Path(__file__).resolve().parent.parent


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--models-dir", type=Path, default=ROOT / "models", help="folder of <model>/card.yml or <model>/model.onnx"
    )
    parser.add_argument("--dataset", type=Path, required=True, help="folder with clean/, stego/ and negatives/")
    parser.add_argument(
        "--decision", type=decision, default=PRODUCTION, help="production, plain or a threshold (default: production)"
    )
    parser.add_argument(
        "--output", type=Path, default=ROOT / "docs" / "grok" / "model_variants.md", help="the document to write"
    )
    parser.add_argument("--json", type=Path, default=ROOT / "results" / "model_variants.json", help="every figure")
    parser.add_argument("--threads", type=whole(1), default=available_cores(), help="default: one per core")
    parser.add_argument("--latency-sample", type=whole(0), default=1000, help="images to time; 0 for none")
    parser.add_argument("--seed", type=whole(0), default=0, help="chooses the images to time (default: 0)")
    return parser.parse_args(arguments)


def main() -> int:
    """See the text on top for the exit codes."""
    options = parse()
    # Late: a mistake on the command line is told without loading the ONNX runtime.
    from starlight_exporter.evaluation.run import evaluate
    from starlight_exporter.evaluation.serialise import to_json
    from starlight_exporter.models.records import carded_twin
    from starlight_exporter.publish.documents.model_variants import Variant, cells, document, headings

    def run(model: FoundModel, models: tuple[FoundModel, ...]) -> Variant:
        variant = Variant(model.name, model.title, None, (), model.problem, model.has_card)
        twin = None if model.has_card else carded_twin(models, model.file)
        if twin is not None:
            return replace(variant, problem=f"not measured: the same bytes as {twin.name}")
        if variant.problem is not None:
            return variant
        request = RunRequest(
            model=model.name,
            role="research",
            model_path=model.file,
            decision=options.decision,
            dataset=options.dataset.resolve().name,
            dataset_root=options.dataset,
            trigger="command",
            latency_sample=options.latency_sample,
            seed=options.seed,
            threads=options.threads,
        )
        try:
            with progress_bar(model.name) as progress:
                result = evaluate(request, progress=progress)
        except ModelError as error:
            return replace(variant, problem=f"not measured: {error.reason}")
        return replace(variant, evaluation=result.evaluation, predictions=result.predictions)

    try:
        models = find_models(options.models_dir)
        variants = [run(model, models) for model in models]
        if all(variant.evaluation is None for variant in variants):
            raise DatasetError(f"{options.models_dir}: not one of its models could be measured")
        records = {
            v.name: {"problem": v.problem} if v.evaluation is None else json.loads(to_json(v.evaluation))
            for v in variants
        }
        write_text(options.json, json.dumps(records, indent=2, ensure_ascii=False) + "\n")
        write_text(options.output, document(variants))
    except StarlightError as error:
        print(f"batch_evaluate_models: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("batch_evaluate_models: interrupted", file=sys.stderr)
        return 130
    title = f"{len(variants)} models on {options.dataset.resolve().name}"
    Console().print(upright(headings(), cells(variants), title))
    print(f"written: {options.output}")
    return 0


def upright(headings: Sequence[str], rows: Iterable[Sequence[str]], title: str) -> Table:
    """A table turned on its side, a column per row, so that a terminal of 80 characters holds it."""
    corner, *names = headings
    columns = list(rows)
    table = Table(escape(corner), title=escape(title), show_lines=True)
    for first, *_ in columns:
        table.add_column(escape(first), overflow="fold")
    for number, name in enumerate(names, start=1):
        table.add_row(escape(name), *(escape(column[number]) for column in columns))
    return table


if __name__ == "__main__":
    sys.exit(main())

"""Evaluate every model of a folder on one dataset and report which differences are statistically significant.

A model without a card is evaluated too, unless it is a copy of a model with a card (a deployed model, for example).
Exit code 2: no model could be measured.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from starlight_exporter.cli.arguments import (
    DATASET_HELP,
    DECISION_HELP,
    add_document,
    add_latency_sample,
    add_providers,
    add_threads,
    dataset_root,
    decision,
    integer,
)
from starlight_exporter.cli.command import clean_up_when_terminated
from starlight_exporter.dataset.sources.root import root_name
from starlight_exporter.detector.decision import PRODUCTION
from starlight_exporter.errors import DatasetError, ModelError
from starlight_exporter.exit_codes import OK

if TYPE_CHECKING:
    from rich.table import Table

    from starlight_exporter.models.cards import FoundModel
    from starlight_exporter.publish.documents.model_variants import Variant

DOCUMENT = Path("docs", "grok", "model_variants.md")
RECORDS = Path("results", "model_variants.json")


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:
    """Add the flags."""
    parser.add_argument(
        "--models-dir",
        type=Path,
        default=root / "models",
        help="folder of MODEL/card.yml or MODEL/model.onnx (default: models)",
    )
    parser.add_argument("--dataset", type=dataset_root, required=True, help=DATASET_HELP)
    parser.add_argument("--decision", type=decision, default=PRODUCTION, help=DECISION_HELP)
    add_providers(parser)
    add_document(parser, root, DOCUMENT)
    parser.add_argument("--json", type=Path, default=root / RECORDS, help=f"all metrics as JSON (default: {RECORDS})")
    add_threads(parser)
    add_latency_sample(parser)
    parser.add_argument("--seed", type=integer(0), default=0, help="selects the images to time (default: 0)")


def run(options: argparse.Namespace) -> int:
    """Evaluate all models, write JSON and document, print a table."""
    from starlight_exporter.cli.console import Console
    from starlight_exporter.cli.outputs import require_writable
    from starlight_exporter.evaluation.serialisation import to_json
    from starlight_exporter.files import write_text
    from starlight_exporter.models.cards import find_models
    from starlight_exporter.publish.documents.model_variants import cells, document, headings

    clean_up_when_terminated()
    for path in (options.json, options.output):
        require_writable(path)
    models = find_models(options.models_dir)
    variants = [_evaluate(model, models, options) for model in models]
    if all(variant.result is None for variant in variants):
        raise DatasetError(f"{options.models_dir}: none of its models could be measured")
    records = {
        v.name: {"problem": v.problem} if v.result is None else json.loads(to_json(v.result.evaluation))
        for v in variants
    }
    write_text(options.json, json.dumps(records, indent=2, ensure_ascii=False) + "\n")
    write_text(options.output, document(variants))
    title = f"{len(variants)} models on {root_name(options.dataset)}"
    Console().print(transposed(headings(), cells(variants), title))
    print(f"written: {options.output}")
    return OK


def _evaluate(model: FoundModel, models: tuple[FoundModel, ...], options: argparse.Namespace) -> Variant:
    from starlight_exporter.cli.console import progress_bar
    from starlight_exporter.cli.measuring import research_request
    from starlight_exporter.evaluation.run import evaluate
    from starlight_exporter.models.records import same_content_with_card
    from starlight_exporter.publish.documents.model_variants import Variant

    variant = Variant(model.name, model.title, None, model.problem, model.has_card)
    twin = None if model.has_card else same_content_with_card(models, model.file)
    if twin is not None:
        return replace(variant, problem=f"not measured: the same bytes as {twin.name}")
    if variant.problem is not None:
        return variant
    request = replace(
        research_request(options, model.file, options.dataset, options.decision),
        model=model.name,
        latency_sample=options.latency_sample,
    )
    try:
        with progress_bar(model.name) as progress:
            return replace(variant, result=evaluate(request, progress=progress))
    except ModelError as error:
        return replace(variant, problem=f"not measured: {error.reason}")


def transposed(headings: Sequence[str], rows: Iterable[Sequence[str]], title: str) -> Table:
    """Return a table with one column per row, so that it fits a terminal of 80 characters."""
    from rich.markup import escape
    from rich.table import Table

    corner, *names = headings
    columns = list(rows)
    table = Table(escape(corner), title=escape(title), show_lines=True)
    for first, *_ in columns:
        table.add_column(escape(first), overflow="fold")
    for number, name in enumerate(names, start=1):
        table.add_row(escape(name), *(escape(column[number]) for column in columns))
    return table

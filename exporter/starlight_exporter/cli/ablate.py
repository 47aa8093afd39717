"""Ablate one input stream of a model at a time and measure the effect on the same images."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from starlight_exporter.analysis.modes import ABLATION_MODES
from starlight_exporter.cli.arguments import (
    DATASET_HELP,
    DECISION_HELP,
    add_document,
    add_engine,
    add_providers,
    add_threads,
    dataset_root,
    decision,
    integer,
)
from starlight_exporter.cli.command import clean_up_when_terminated
from starlight_exporter.detector.decision import PRODUCTION
from starlight_exporter.exit_codes import OK

OUTPUT = Path("results", "ablation.json")
DOCUMENT = Path("docs", "grok", "stream_ablation.md")


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:
    """Add the flags."""
    parser.add_argument("--model", type=Path, required=True, help="ONNX file")
    parser.add_argument("--dataset", type=dataset_root, required=True, help=DATASET_HELP)
    parser.add_argument(
        "--mode",
        choices=ABLATION_MODES,
        default="zero",
        help="replacement for the stream: zeros, its mean, or the stream of another image (default: zero)",
    )
    parser.add_argument("--stream", action="append", default=[], help="stream to ablate; repeatable (default: all)")
    parser.add_argument("--output", type=Path, default=root / OUTPUT, help=f"all metrics as JSON (default: {OUTPUT})")
    add_document(parser, root, DOCUMENT, flag="--document")
    parser.add_argument("--decision", type=decision, default=PRODUCTION, help=DECISION_HELP)
    add_providers(parser)
    add_threads(parser)
    add_engine(parser)
    parser.add_argument("--seed", type=integer(0), default=0, help="of the image order and shuffling (default: 0)")


def run(options: argparse.Namespace) -> int:
    """Run the ablation study, write JSON and document, print a table."""
    from starlight_exporter.analysis.ablation import streams_named
    from starlight_exporter.analysis.ablation_study import ablation_study
    from starlight_exporter.cli.console import Console, progress_bar
    from starlight_exporter.cli.measuring import research_request
    from starlight_exporter.cli.outputs import require_writable
    from starlight_exporter.files import write_text
    from starlight_exporter.publish.ablation_report import ablation_json, ablation_table
    from starlight_exporter.publish.documents.stream_ablation import document

    clean_up_when_terminated()
    streams = streams_named(options.stream)
    for path in (options.output, options.document):
        require_writable(path)
    request = research_request(options, options.model, options.dataset, options.decision)
    with progress_bar("ablating") as progress:
        result = ablation_study(
            replace(request, engine=options.engine), mode=options.mode, streams=streams, progress=progress
        )
    write_text(options.output, ablation_json(result))
    write_text(options.document, document(result))
    Console().print(ablation_table(result))
    return OK

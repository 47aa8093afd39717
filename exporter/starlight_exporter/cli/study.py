"""Evaluate models on datasets and test which pairs of models are distinguished on which dataset and metric.

Writes study.csv (every metric of every model on every dataset), pairs.csv (the paired tests) and study.md (tables for a
paper, provenance, and the command). With one model there are no pairs. Exit code 2: no image could be measured.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from starlight_exporter.cli.arguments import (
    DATASET_HELP,
    DECISION_HELP,
    add_providers,
    add_threads,
    dataset_root,
    decision,
    integer,
    providers_of,
)
from starlight_exporter.cli.command import clean_up_when_terminated
from starlight_exporter.detector.decision import PRODUCTION
from starlight_exporter.exit_codes import NOT_MEASURED, OK

OUT = Path("results", "study")


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:
    """Add the flags."""
    for flag, of_type, text in (
        ("--model", Path, "ONNX files; repeatable"),
        ("--dataset", dataset_root, f"{DATASET_HELP}; several, repeatable"),
    ):
        parser.add_argument(flag, type=of_type, nargs="+", action="extend", required=True, help=text)
    parser.add_argument("--out", type=Path, default=root / OUT, help=f"folder of the three files (default: {OUT})")
    parser.add_argument("--decision", type=decision, default=PRODUCTION, help=DECISION_HELP)
    add_providers(parser)
    add_threads(parser)
    parser.add_argument("--cache", type=Path, help="folder that keeps decoded images for later runs")
    parser.add_argument("--seed", type=integer(0), default=0, help="of resampled covers and swaps (default: 0)")


def run(options: argparse.Namespace) -> int:
    """Run the study and write all files."""
    from starlight_exporter.analysis.model_study import StudyRequest, study
    from starlight_exporter.cli.console import step_bar
    from starlight_exporter.cli.outputs import require_writable
    from starlight_exporter.dataset.cache_settings import CacheSettings
    from starlight_exporter.evaluation.request import available_cores
    from starlight_exporter.files import write_text
    from starlight_exporter.publish.documents.model_study import document
    from starlight_exporter.publish.study_tables import pairs_csv, study_csv

    clean_up_when_terminated()
    require_writable(options.out / "study.csv")
    request = StudyRequest(
        models=tuple(options.model),
        datasets=tuple(options.dataset),
        trigger="command",
        decision=options.decision,
        seed=options.seed,
        threads=options.threads or available_cores(),
        providers=providers_of(options),
        cache=None if options.cache is None else CacheSettings(options.cache),
    )
    with step_bar() as progress:
        result = study(request, progress=progress)
    texts = {
        "study.csv": study_csv(result),
        "pairs.csv": pairs_csv(result),
        "study.md": document(result, options.command_line),
    }
    for name, text in texts.items():
        write_text(options.out / name, text)
        print(f"written: {options.out / name}")
    runs = [one for results in result.results for one in results]
    for warning in dict.fromkeys(warning for one in runs for warning in one.warnings):
        print(f"{options.name}: {warning}", file=sys.stderr)
    if all(prediction.verdict is None for one in runs for prediction in one.predictions):
        print(f"{options.name}: no image could be measured", file=sys.stderr)
        return NOT_MEASURED
    return OK

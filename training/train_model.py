"""Train a reference model, export it to ONNX, and write its training log and its measured card.

Needs the `train` extra: pip install -e ".[train]". With --measure-only, measure an existing model again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from starlight_exporter.cli.arguments import integer
from starlight_exporter.errors import ConfigError
from starlight_exporter.exit_codes import OK
from training.variants import VARIANTS


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:  # noqa: ARG001  # no default paths
    """Add the flags."""
    parser.add_argument("--variant", choices=tuple(VARIANTS), default="v4", help="architecture (default: v4)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the model, such as models/v4")
    parser.add_argument("--train-dataset", type=Path, action="append", default=[], help="training dataset; repeatable")
    parser.add_argument("--validation-dataset", type=Path, help="dataset for the validation loss of each epoch")
    parser.add_argument("--epochs", type=integer(1), default=12, help="passes over the training data (default: 12)")
    parser.add_argument("--seed", type=integer(0), default=1, help="of weights, order and dropout (default: 1)")
    parser.add_argument("--threads", type=integer(1), default=2, help="threads of PyTorch (default: 2)")
    parser.add_argument(
        "--measure", metavar="TITLE=DIR", action="append", default=[], help="dataset for the card; repeatable"
    )
    parser.add_argument("--remark", action="append", default=[], help="a sentence for the card; repeatable")
    parser.add_argument("--cache", type=Path, help="folder that keeps decoded datasets for later runs")
    parser.add_argument("--measure-only", action="store_true", help="measure the model in --out without training")


def run(options: argparse.Namespace) -> int:
    """Train or measure, and write the model's files."""
    if not options.measure_only and not (options.train_dataset and options.validation_dataset):
        raise ConfigError("--train-dataset and --validation-dataset are needed, unless with --measure-only")
    measured = [text.partition("=") for text in options.measure]
    if wrong := [title for title, _, folder in measured if not folder]:
        raise ConfigError(f"--measure {wrong[0]}: expected TITLE=DIR")
    try:
        # Imported late: --help and usage errors do not need PyTorch.
        from training.command import Job, run
    except ModuleNotFoundError as error:
        raise ConfigError(f'{error.name} is not installed: pip install -e ".[train]"') from error
    from starlight_exporter.cli.console import Console, new_bar

    job = Job(
        variant=options.variant,
        out=options.out,
        train_datasets=tuple(options.train_dataset),
        validation_dataset=options.validation_dataset,
        epochs=options.epochs,
        seed=options.seed,
        threads=options.threads,
        measure=tuple((title, Path(folder)) for title, _, folder in measured),
        remarks=tuple(options.remark),
        measure_only=options.measure_only,
        cache=options.cache,
    )
    console = Console(stderr=True)
    with new_bar(console) as bar:
        run(job, bar, lambda line: console.print(line, markup=False))
    return OK

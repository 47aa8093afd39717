#!/usr/bin/env python3
"""Trains a reference model, exports it to ONNX, and writes its training log and its measured card.

Needs the `train` extra: pip install -e ".[train]". With --measure-only a finished model is measured anew.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from starlight_exporter.cli.arguments import new_bar, whole
from starlight_exporter.errors import StarlightError
from training.variants import VARIANTS


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--variant", choices=tuple(VARIANTS), default="v4", help="architecture (default: v4)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the model, such as models/v4")
    parser.add_argument("--train-dataset", type=Path, action="append", default=[], help="dataset to learn from; repeat")
    parser.add_argument("--validation-dataset", type=Path, help="another dataset, to watch the training with")
    parser.add_argument("--epochs", type=whole(1), default=12, help="passes over the training data (default: 12)")
    parser.add_argument("--seed", type=whole(0), default=1, help="of weights, order and dropout (default: 1)")
    parser.add_argument("--threads", type=whole(1), default=2, help="threads of PyTorch (default: 2)")
    parser.add_argument(
        "--measure", metavar="TITLE=DIR", action="append", default=[], help="dataset for the card; repeat"
    )
    parser.add_argument("--remark", action="append", default=[], help="a sentence for the card; repeat")
    parser.add_argument("--cache", type=Path, help="folder that keeps decoded datasets for the next run")
    parser.add_argument("--measure-only", action="store_true", help="measure the model that is in --out, train nothing")
    options = parser.parse_args(arguments)
    if not options.measure_only and not (options.train_dataset and options.validation_dataset):
        parser.error("--train-dataset and --validation-dataset are needed, unless with --measure-only")
    if wrong := [text for text in options.measure if not text.partition("=")[2]]:
        parser.error(f"--measure {wrong[0]}: expected TITLE=DIR")
    return options


def main() -> int:
    """Exit code 0: model and card are written; 2: a mistake, told in one line; 130: interrupted."""
    options = parse()
    try:
        # Only here, so that --help works and a mistake is told without PyTorch.
        from training.command import Job, run
    except ModuleNotFoundError as error:
        print(f'train_reference_model: {error.name} is not installed: pip install -e ".[train]"', file=sys.stderr)
        return 2
    console = Console(stderr=True)
    bar = new_bar(console)
    job = Job(
        variant=options.variant,
        out=options.out,
        train_datasets=tuple(options.train_dataset),
        validation_dataset=options.validation_dataset,
        epochs=options.epochs,
        seed=options.seed,
        threads=options.threads,
        measure=tuple((title, Path(folder)) for title, _, folder in (text.partition("=") for text in options.measure)),
        remarks=tuple(options.remark),
        measure_only=options.measure_only,
        cache=options.cache,
    )
    try:
        with bar:
            run(job, bar, lambda line: console.print(line, markup=False))
    except StarlightError as error:
        print(f"train_reference_model: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("train_reference_model: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

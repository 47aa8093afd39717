#!/usr/bin/env python3
"""Makes a labelled dataset: covers, the five embeddings with sidecars, hard negatives. Same seed, same bytes."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from rich.console import Console

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from starlight_exporter.cli.arguments import new_bar
from starlight_exporter.errors import DatasetError
from starlight_exporter.synthesis import synthesise


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to make; must be empty or not exist yet")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes (default: 0)")
    parser.add_argument("--covers", type=Path, help="folder with your own pictures to hide things in (default: drawn)")
    parser.add_argument("--clean", type=int, default=1000, help="clean files (default: 1000)")
    parser.add_argument("--stego", type=int, default=800, help="stego files, evenly over five methods (default: 800)")
    parser.add_argument("--negatives", type=int, default=200, help="hard negatives, five categories (default: 200)")
    parser.add_argument("--workers", type=int, help="worker processes (default: one per core)")
    return parser.parse_args(arguments)


def main() -> int:
    """Exit code 0: the dataset is there; 2: a mistake, told in one line; 130: interrupted, nothing left behind."""
    options = parse()
    # A polite kill is to clean up like Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    bar = new_bar(Console(stderr=True))
    task = bar.add_task("images", total=None)

    def show(done: int, total: int) -> None:
        # Started with the work itself, so that a mistake is told in one line and nothing else.
        bar.start()
        bar.update(task, completed=done, total=total)

    try:
        try:
            made = synthesise(
                options.out,
                seed=options.seed,
                clean=options.clean,
                stego=options.stego,
                negatives=options.negatives,
                covers=options.covers,
                workers=options.workers,
                progress=show,
            )
        finally:
            if bar.live.is_started:
                bar.stop()
    except DatasetError as error:
        print(f"make_dataset: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("make_dataset: interrupted; nothing was left behind", file=sys.stderr)
        return 130
    print(f"{options.out}: {'made' if made else 'holds exactly this dataset already'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

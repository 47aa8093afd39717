"""Generate a labelled dataset: covers, five embeddings with sidecars, hard negatives. Same seed, same bytes."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from starlight_exporter.exit_codes import OK


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:  # noqa: ARG001  # no default paths
    """Add the flags."""
    parser.add_argument("--out", type=Path, required=True, help="folder to create; must be empty or not exist")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same bytes (default: 0)")
    parser.add_argument("--covers", type=Path, help="folder of your own images as covers (default: generated)")
    parser.add_argument("--clean", type=int, default=1000, help="clean files (default: 1000)")
    parser.add_argument("--stego", type=int, default=800, help="stego files, evenly over five methods (default: 800)")
    parser.add_argument("--negatives", type=int, default=200, help="hard negatives, five categories (default: 200)")
    parser.add_argument("--workers", type=int, help="worker processes (default: one per core)")


def run(options: argparse.Namespace) -> int:
    """Generate the dataset; an interrupted run leaves nothing behind."""
    from starlight_exporter.cli.console import Console, new_bar
    from starlight_exporter.synthesis import synthesise

    # SIGTERM cleans up like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    bar = new_bar(Console(stderr=True))
    task = bar.add_task("images", total=None)

    def show(done: int, total: int) -> None:
        # Started with the first image, so that an error is one line without a progress bar.
        bar.start()
        bar.update(task, completed=done, total=total)

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
    except KeyboardInterrupt:
        raise KeyboardInterrupt("nothing was left behind") from None
    finally:
        if bar.live.is_started:
            bar.stop()
    print(f"{options.out}: {'created' if made else 'already contains exactly this dataset'}")
    return OK

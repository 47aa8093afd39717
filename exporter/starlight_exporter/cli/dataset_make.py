"""Generate a labelled dataset: covers, five embeddings with sidecars, hard negatives. Same seed, same bytes.

Recipes: `reference` (readable texts that reach the centre crop, any number of files), `payloads` (8 bytes to full
capacity, LSB replacement and ±1), `sizes` (32 to 4,096 pixels), `sources` (recompressed, resized, phones, screenshots
and others), `adversarial` (small perturbations and hard negatives that a search has selected).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from starlight_exporter.cli.command import clean_up_when_terminated
from starlight_exporter.errors import DatasetError
from starlight_exporter.exit_codes import OK
from starlight_exporter.synthesis.names import ADVERSARIAL, NAMES, REFERENCE

if TYPE_CHECKING:
    from starlight_exporter.synthesis.recipe import Recipe


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:  # noqa: ARG001  # no default paths
    """Add the flags."""
    parser.add_argument("--out", type=Path, required=True, help="folder to create; must be empty or not exist")
    parser.add_argument("--recipe", choices=NAMES, default=REFERENCE, help=f"what to generate (default: {REFERENCE})")
    parser.add_argument(
        "--seed", type=int, help="the same seed gives the same bytes (default: 0); not for the recipe adversarial"
    )
    parser.add_argument(
        "--covers", type=Path, help="folder of your own images as covers (default: generated); not for adversarial"
    )
    for part, default, contents in (
        ("clean", 1000, "clean files"),
        ("stego", 800, "stego files, evenly over five methods"),
        ("negatives", 200, "hard negatives, five categories"),
    ):
        parser.add_argument(
            f"--{part}", type=int, help=f"{contents} (default: {default}); only for the recipe {REFERENCE}"
        )
    parser.add_argument("--workers", type=int, help="worker processes (default: one per core)")


def run(options: argparse.Namespace) -> int:
    """Generate the dataset; an interrupted run leaves nothing behind."""
    from starlight_exporter.cli.console import Console, new_bar
    from starlight_exporter.synthesis.build import synthesise

    recipe = _recipe(options)
    clean_up_when_terminated()
    bar = new_bar(Console(stderr=True))
    task = bar.add_task("images", total=None)

    def show(done: int, total: int) -> None:
        # Started with the first image, so that an error is one line without a progress bar.
        bar.start()
        bar.update(task, completed=done, total=total)

    try:
        made = synthesise(
            options.out,
            recipe,
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


def _recipe(options: argparse.Namespace) -> Recipe:
    from starlight_exporter.synthesis.cover_sources import ProceduralCovers, find_covers
    from starlight_exporter.synthesis.recipes import recipe_of_fixed_size
    from starlight_exporter.synthesis.reference import ReferenceRecipe

    counts = {name: getattr(options, name) for name in ("clean", "stego", "negatives")}
    given = {name: count for name, count in counts.items() if count is not None}
    if given and options.recipe != REFERENCE:
        raise DatasetError(f"--{next(iter(given))} applies to the recipe {REFERENCE} only")
    if options.seed is not None and options.recipe == ADVERSARIAL:
        raise DatasetError(f"--seed does not apply to the recipe {ADVERSARIAL}: its files were selected by a search")
    seed = options.seed or 0
    covers = ProceduralCovers() if options.covers is None else find_covers(options.covers)
    if options.recipe == REFERENCE:
        return ReferenceRecipe(seed, covers=covers, **given)
    return recipe_of_fixed_size(options.recipe, seed=seed, covers=covers)

"""Datasets of small images, with which the shipped model usually meets the latency limit."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from PIL import Image

from starlight_exporter.synthesis.build import synthesise
from starlight_exporter.synthesis.cover_sources import find_covers
from starlight_exporter.synthesis.reference import ReferenceRecipe

SIDE: Final = 96


def synthesise_small_images(folder: Path, *, seed: int, clean: int, stego: int, negatives: int) -> Path:
    """Generate a dataset in `folder`/images from generated covers that are resized to SIDE × SIDE pixels."""
    synthesise(folder / "originals", ReferenceRecipe(seed + 1, clean=60, stego=5, negatives=5), workers=2)
    covers = folder / "covers"
    covers.mkdir()
    for file in sorted((folder / "originals" / "clean").iterdir()):
        if file.suffix != ".json":
            with Image.open(file) as image:
                image.convert("RGB").resize((SIDE, SIDE)).save(covers / f"{file.stem}.png")
    images = folder / "images"
    synthesise(images, ReferenceRecipe(seed, clean, stego, negatives, find_covers(covers)), workers=2)
    return images

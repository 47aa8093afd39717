"""Datasets of pictures so small that the shipped model stays within the latency limit, most of the time."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from PIL import Image

from starlight_exporter.synthesis import synthesise

SIDE: Final = 96


def synthesise_small_images(folder: Path, *, seed: int, clean: int, stego: int, negatives: int) -> Path:
    """A dataset in `folder`/images whose covers are drawn pictures made smaller: SIDE pixels square."""
    synthesise(folder / "drawn", seed=seed + 1, clean=60, stego=5, negatives=5, workers=2)
    covers = folder / "covers"
    covers.mkdir()
    for file in sorted((folder / "drawn" / "clean").iterdir()):
        if file.suffix != ".json":
            with Image.open(file) as image:
                image.convert("RGB").resize((SIDE, SIDE)).save(covers / f"{file.stem}.png")
    images = folder / "images"
    synthesise(images, seed=seed, clean=clean, stego=stego, negatives=negatives, covers=covers, workers=2)
    return images

"""Datasets and models that are built once per test run and shared by all xdist workers."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from starlight_exporter.synthesis.build import synthesise
from starlight_exporter.synthesis.reference import ReferenceRecipe
from support.images import write_dataset
from support.models import write_random_model
from support.small_images import synthesise_small_images


class RunCache:
    """A directory of read-only test data, keyed by parameters. A test that changes the data works on a copy."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(exist_ok=True)

    def get(self, key: str, build: Callable[[Path], object]) -> Path:
        """Return the directory of `key`. The first caller creates it with `build(directory)`; others wait for it."""
        directory = self._root / key
        with (self._root / f"{key}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not directory.exists():
                # Renamed when complete, so that a failed build is not mistaken for a result.
                staging = Path(tempfile.mkdtemp(dir=self._root))
                try:
                    build(staging)
                    staging.rename(directory)
                finally:
                    shutil.rmtree(staging, ignore_errors=True)
        return directory

    def synthetic(self, *, seed: int, clean: int, stego: int, negatives: int) -> Path:
        """Return the root of a dataset made by the reference generator."""

        def build(directory: Path) -> None:
            synthesise(directory / "images", ReferenceRecipe(seed, clean, stego, negatives), workers=2)

        return self.get(f"synthetic-{seed}-{clean}-{stego}-{negatives}", build) / "images"

    def small_synthetic(self, *, seed: int, clean: int, stego: int, negatives: int) -> Path:
        """Return the root of a generated dataset whose images are 96×96 pixels."""

        def build(directory: Path) -> None:
            synthesise_small_images(directory, seed=seed, clean=clean, stego=stego, negatives=negatives)

        return self.get(f"small-synthetic-{seed}-{clean}-{stego}-{negatives}", build) / "images"

    def noise_dataset(self, *, clean: int, stego: int, negatives: int) -> Path:
        """Return the root of a dataset of noise images (`write_dataset`)."""

        def build(directory: Path) -> None:
            write_dataset(directory / "images", clean=clean, stego=stego, negatives=negatives)

        return self.get(f"noise-{clean}-{stego}-{negatives}", build) / "images"

    def random_model(self, *, seed: int, scale: float) -> Path:
        """Return the file of a model with random weights (`write_random_model`)."""

        def build(directory: Path) -> None:
            write_random_model(directory / "model.onnx", seed=seed, scale=scale)

        return self.get(f"random-model-{seed}-{scale:g}", build) / "model.onnx"

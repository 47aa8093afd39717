"""What a recipe is: the files of one dataset, in tasks that any worker process can carry out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

Rng = np.random.Generator


class Recipe(Protocol):
    """The files of a dataset. A task depends only on the recipe and its number: the same recipe gives the same bytes.

    `parameters` identify the dataset in its manifest, `folders` are created even if they remain empty, `sizes` has the
    number of images of each task.
    """

    @property
    def parameters(self) -> Mapping[str, object]: ...

    @property
    def folders(self) -> tuple[str, ...]: ...

    @property
    def sizes(self) -> tuple[int, ...]: ...

    def write(self, task: int, root: Path) -> None:
        """Generate the images of a task, and their sidecars, below `root`."""
        ...


def generator(seed: int, *key: int) -> Rng:
    """Return the random generator of one purpose and index of a dataset: independent for every key."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))

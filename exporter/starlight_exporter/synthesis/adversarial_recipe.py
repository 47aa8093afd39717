"""The recipe `adversarial`: the candidates (see `adversarial`) that a search with a model has selected."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from starlight_exporter.detector.contract import METHODS, Method
from starlight_exporter.synthesis.adversarial import clean_candidate, negative_candidate, stego_candidate
from starlight_exporter.synthesis.hiding import Cover, write_cover, write_stego
from starlight_exporter.synthesis.names import ADVERSARIAL
from starlight_exporter.synthesis.negatives import CATEGORIES

MINED_SEEDS: Final = "mined_seeds.json"
SELECTED: Final = "selected"
"""Source of the clean files that the search has selected; the covers of the stego files were not selected for it."""
UNSELECTED: Final = "procedural"


@dataclass(frozen=True, slots=True)
class MinedSeeds:
    """Numbers of the selected candidates, and the SHA-256 of the model of the search."""

    model_sha256: str
    clean: tuple[int, ...]
    negatives: Mapping[str, tuple[int, ...]]
    stego: Mapping[Method, tuple[int, ...]]


def read_mined_seeds() -> MinedSeeds:
    """Return the numbers that are part of the package."""
    content = json.loads(files("starlight_exporter.synthesis").joinpath(MINED_SEEDS).read_text(encoding="utf-8"))
    return MinedSeeds(
        content["model_sha256"],
        tuple(content["clean"]),
        {category: tuple(content["negatives"][category]) for category in CATEGORIES},
        {method: tuple(content["stego"][method]) for method in METHODS},
    )


@dataclass(frozen=True, slots=True)
class AdversarialRecipe:
    """The numbers of the candidates. They determine the dataset: there is no seed, and the covers are generated."""

    seeds: MinedSeeds

    @property
    def parameters(self) -> Mapping[str, object]:
        """Name, and the model of the search."""
        return {"recipe": ADVERSARIAL, "mined_against": self.seeds.model_sha256}

    @property
    def folders(self) -> tuple[str, ...]:
        """The class folders, with both sources of clean files."""
        return (
            f"clean/{SELECTED}",
            f"clean/{UNSELECTED}",
            "stego",
            *(f"negatives/{category}" for category in CATEGORIES),
        )

    @property
    def sizes(self) -> tuple[int, ...]:
        """One clean file or negative, or a cover and its stego file per task."""
        return tuple(2 if kind in METHODS else 1 for kind, _ in self._candidates())

    def write(self, task: int, root: Path) -> None:
        """Generate the files of one candidate."""
        kind, number = self._candidates()[task]
        if kind in METHODS:
            candidate = stego_candidate(kind, number)
            cover = Cover(candidate.cover, UNSELECTED, task)
            write_cover(cover, root)
            write_stego(candidate.rng, cover, candidate.embedding, candidate.message, number=task, root=root)
        elif kind in CATEGORIES:
            negative = negative_candidate(kind, number)
            path = root / "negatives" / kind / f"{kind}-{number:04d}.{negative.extension}"
            path.write_bytes(negative.data)
        else:
            write_cover(Cover(clean_candidate(number), SELECTED, task), root)

    def _candidates(self) -> tuple[tuple[str, int], ...]:
        return (
            *(("clean", number) for number in self.seeds.clean),
            *((category, number) for category, numbers in self.seeds.negatives.items() for number in numbers),
            *((method, number) for method, numbers in self.seeds.stego.items() for number in numbers),
        )

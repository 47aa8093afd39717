"""The recipes whose number of files is fixed, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlight_exporter.errors import DatasetError
from starlight_exporter.synthesis.adversarial_recipe import AdversarialRecipe, read_mined_seeds
from starlight_exporter.synthesis.cover_sources import CoverSource, ProceduralCovers
from starlight_exporter.synthesis.names import ADVERSARIAL, PAYLOADS, SIZES, SOURCES
from starlight_exporter.synthesis.payload_recipe import PayloadRecipe
from starlight_exporter.synthesis.recipe import Recipe
from starlight_exporter.synthesis.size_recipe import SizeRecipe
from starlight_exporter.synthesis.source_recipe import SourceRecipe

_SEEDED: Final[dict[str, Callable[[int, CoverSource], Recipe]]] = {
    PAYLOADS: PayloadRecipe,
    SIZES: SizeRecipe,
    SOURCES: SourceRecipe,
}


def recipe_of_fixed_size(name: str, *, seed: int, covers: CoverSource) -> Recipe:
    """Return a recipe other than `reference`. Raise DatasetError for a negative seed, or covers that it cannot use."""
    if seed < 0:
        raise DatasetError(f"seed must not be negative: {seed}")
    if name != ADVERSARIAL:
        return _SEEDED[name](seed, covers)
    if covers != ProceduralCovers():
        raise DatasetError("the recipe adversarial has covers of its own: its files were selected by a search")
    return AdversarialRecipe(read_mined_seeds())
